"""Check 2: in float32, is the shipped network as close to the truth as the reference is?"""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.compare import ulp_distance
from tsa_model.equivalence.evidence import Evidence
from tsa_model.equivalence.networks import outputs
from tsa_model.equivalence.results import CheckResult, Measurement, Plot, at_least, at_most, conclude


def check_rounding(evidence: Evidence) -> CheckResult:
    """Check 2: float32 errors against the float64 reference, beside the reference's own."""
    sample, truth, own, at_risk = evidence.sample, evidence.truth, evidence.rounded, evidence.at_risk
    found = outputs(evidence.networks.shipped, sample.batch)
    is_real = torch.arange(len(sample)) < sample.n_real
    measurements = []
    for group, rows in (("real rows", is_real), ("edge cases", ~is_real)):
        (held,) = torch.where(rows & ~at_risk)
        names = [sample.names[int(row)] for row in held]
        for name in ("logits", "ensemble"):
            if len(held):
                tensors = [x[name][held] for x in (found, own, truth)]
                measurements += _measure(f"{name}, {group}", tensors, names)
    measurements.append(
        at_least(
            "share of the rows whose decisions rounding cannot turn", 1 - at_risk.double().mean().item(), 0.5
        )
    )
    ratio = max(m.value or 0.0 for m in measurements[:-1])
    notes = [f"{sample.names[int(row)]} has a decision within rounding." for row in torch.where(at_risk)[0]]
    return conclude(
        2,
        "Rounding in float32",
        "Is the float32 error of the shipped network no larger than rounding makes the reference's own?",
        measurements,
        f"the float32 error is at most {ratio:.2f} times the reference's own "
        f"(largest allowed {tolerance.ROUNDING_FACTOR:g})",
        notes=notes,
        plots=[_histogram(found["logits"], own["logits"], truth["logits"])],
    )


def _measure(name: str, tensors: list[Tensor], rows: list[str]) -> list[Measurement]:
    found, own, truth = tensors
    error, own_error = (found.double() - truth).abs(), (own.double() - truth).abs()
    ulp = tolerance.unit(torch.float32)
    floor = tolerance.ROUNDING_FLOOR_ULP * ulp * truth.abs().max()
    floor_rms = ulp * truth.square().mean().sqrt()
    worst = int(error.flatten().nan_to_num(torch.inf).argmax()) // (error.numel() // len(error))
    largest = error.max() / torch.maximum(own_error.max(), floor)
    typical = error.square().mean().sqrt() / torch.maximum(own_error.square().mean().sqrt(), floor_rms)
    return [
        at_most(
            f"{name}: largest error / the reference's",
            largest.item(),
            tolerance.ROUNDING_FACTOR,
            f"order {rows[worst]}",
        ),
        at_most(f"{name}: RMS error / the reference's", typical.item(), tolerance.ROUNDING_FACTOR),
    ]


def _histogram(found: Tensor, own: Tensor, truth: Tensor) -> Plot:
    edges = [0.0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, float("inf")]
    labels = [f"≤ {upper:g}" for upper in edges[1:-1]] + ["more"]
    series: dict[str, list[float | None]] = {}
    for name, x in (("shipped", found), ("reference", own)):
        bucket = torch.bucketize(
            ulp_distance(x, truth).flatten(), torch.tensor(edges[1:-1], dtype=torch.float64)
        )
        series[name] = [float(n) for n in torch.bincount(bucket, minlength=len(labels))]
    return Plot(
        title="Distance of the float32 logits from the float64 reference",
        kind="bars",
        x_label="units in the last place (ULP)",
        y_label="logits",
        labels=labels,
        series=series,
    )
