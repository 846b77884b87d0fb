"""Check 2: in float32, is the shipped network as close to the truth as the reference is?

Rows with a decision that rounding can turn (see `ties`) are compared block by block alone: free-running, a
correct network may lawfully give them another expert. One run shows the error of an ill-conditioned row by
chance only; rows that seem too far off are therefore run again with nudged weights, in both networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tsa_model.batch import rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.block_rounding import compare_blocks
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.differences import ulp_distance
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import (
    CheckResult,
    Measurement,
    Plot,
    at_least,
    at_most,
    reported,
)
from tsa_model.network.networks import Network

N_AGAIN = 16
"""Most rows whose error is measured again."""
N_RUNS = 8
"""Further float32 runs of both networks for them."""
N_SHOWN = 16
"""Most rows named in a note."""
N_TYPICAL = 100
"""Fewest values whose median error means anything."""


def check_rounding(evidence: Evidence) -> CheckResult:
    """Check 2: float32 errors against the float64 reference, beside the reference's own."""
    sample, at_risk = evidence.sample, evidence.at_risk
    again = _Again(evidence)
    is_real = torch.arange(len(sample)) < sample.n_real
    measurements = []
    for group, rows in (("real rows", is_real), ("edge cases", ~is_real)):
        (held,) = torch.where(rows & ~at_risk)
        names = [sample.names[int(row)] for row in held]
        for name in ("logits", "ensemble") if names else ():
            found, own, truth = (
                x[name][held] for x in (evidence.shipped_rounded, evidence.rounded, evidence.truth)
            )
            run_again = partial(again.run, name, held)
            measurements += compare_rounding(f"{name}, {group}", found, own, truth, names, run_again)
    ratio = max((m.value or 0.0 for m in measurements), default=0.0)
    share = 1 - at_risk[: sample.n_real].double().mean().item()
    measurements.append(at_least("share of real rows compared free-running", share, tolerance.FREE_RUNNING))
    (risky,) = torch.where(at_risk)
    if len(risky) < len(sample):
        closest = evidence.margins[~at_risk].min().item()
        if closest < torch.inf:
            measurements.append(reported("smallest decision margin of the other rows, in roundings", closest))
    measurements += compare_blocks(evidence)
    logits = (x["logits"][~at_risk] for x in (evidence.shipped_rounded, evidence.rounded, evidence.truth))
    return ROUNDING.conclude(
        measurements,
        f"the float32 error is at most {ratio:.2f} times the reference's own "
        f"(largest allowed {tolerance.ROUNDING_FACTOR:g})",
        notes=[_risk_note(evidence, risky)],
        plots=[_histogram(*logits)],
    )


ROUNDING = Check(
    2,
    "Rounding in float32",
    "Is the float32 error of the shipped network no larger than rounding makes the reference's own?",
    lambda subject: check_rounding(subject.trained),
)


class _Again:
    """Both float32 networks for some rows again, once per set of nudged weights."""

    def __init__(self, evidence: Evidence) -> None:
        self._batch = evidence.sample.batch
        self._networks = (evidence.networks.shipped, evidence.networks.reference)
        self._known: dict[tuple[int, ...], list[list[dict[str, Tensor]]]] = {}

    def run(self, name: str, held: Tensor, rows: Tensor) -> Runs:
        """One output for some of the held rows; rows that are far off in both outputs run once."""
        which = held[rows]
        key = tuple(which.tolist())
        if key not in self._known:
            batch = rows_of(self._batch, which)
            self._known[key] = [
                [outputs(nudged(network, seed), batch) for seed in range(N_RUNS)]
                for network in self._networks
            ]
        found, own = ([run[name] for run in runs] for runs in self._known[key])
        return found, own


@torch.no_grad()
def nudged(network: Network, seed: int, units: int = 1) -> Network:
    """A copy whose weights moved to a neighbouring number or stayed: as good a rounding as any.

    Args:
        network: float32 or float64.
        seed: of the moves.
        units: how many numbers of the network's own precision a move skips; 1 = to the next one.
    """
    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        # Neighbouring numbers of one sign are neighbouring integers in their bits; 0 stays 0.
        step = torch.randint(-1, 2, parameter.shape, generator=generator, dtype=torch.int32)
        bits = torch.int32 if parameter.dtype == torch.float32 else torch.int64
        parameter.data.view(bits).add_(units * step * (parameter != 0))
    return network


Runs = tuple[list[Tensor], list[Tensor]]
Again = Callable[[Tensor], Runs]
"""Row numbers → what other float32 runs of the judged network, and of the other one, give for these rows."""


def compare_rounding(
    name: str,
    found: Tensor,
    own: Tensor,
    truth: Tensor,
    rows: list[str] | None = None,
    again: Again | None = None,
) -> list[Measurement]:
    """Hold the largest and the typical float32 error against those of another float32 computation.

    Args:
        name: of what is compared.
        found: [B, ...] what is judged.
        own: [B, ...] what the other computation gives.
        truth: [B, ...] float64.
        rows: name of each row.
        again: asked about rows that seem too far off. The median of what is judged counts then, against the
            largest error of the other computation: a fault is in every run, an unlucky run is not.
    """
    error, own_error = found.double() - truth, own.double() - truth
    floor = tolerance.unit(torch.float32) * truth.abs().max()
    factor = tolerance.ROUNDING_FACTOR
    ratio_by_row = _ratio_by_row(found, own, truth, again)
    worst = int(ratio_by_row.argmax())
    where = f"order {rows[worst]}" if rows else f"row {worst}"
    largest = ratio_by_row[worst].item()
    measurements = [at_most(f"{name}: largest error / the reference's", largest, factor, where)]
    if error.numel() >= N_TYPICAL:
        typical, own_typical = (x.abs().flatten().nan_to_num(torch.inf).median() for x in (error, own_error))
        median = typical / torch.maximum(own_typical, 0.25 * floor)
        measurements.append(at_most(f"{name}: median error / the reference's", median.item(), factor))
    return measurements


def _ratio_by_row(found: Tensor, own: Tensor, truth: Tensor, again: Again | None) -> Tensor:
    """Largest error of each row over what rounding explains there; see `compare_rounding`."""
    own_error = own.double() - truth
    floor = tolerance.unit(torch.float32) * truth.abs().max()
    by_row = _row_errors(found, truth)
    tail = tolerance.ROUNDING_TAIL * own_error.square().mean().sqrt()
    allowed = torch.stack([own_error.abs().max(), tail, tolerance.ROUNDING_FLOOR_ULP * floor]).max()
    allowed_by_row = allowed.expand(len(by_row)).clone()
    (far,) = torch.where(by_row > tolerance.ROUNDING_FACTOR * allowed)
    if again is not None and 0 < len(far) <= N_AGAIN:
        found_runs, own_runs = (
            torch.stack([_row_errors(x, truth[far]) for x in runs]) for runs in again(far)
        )
        by_row[far] = torch.cat([by_row[far][None], found_runs]).median(dim=0).values
        seen = torch.where(own_runs < tolerance.TURNED * allowed, own_runs, 0.0).amax(0)
        allowed_by_row[far] = torch.maximum(allowed_by_row[far], seen)
    return by_row / allowed_by_row


def _row_errors(x: Tensor, truth: Tensor) -> Tensor:
    """Largest error of each row, infinite where a value is NaN."""
    return (x.double() - truth).abs().flatten(1).amax(1).nan_to_num(torch.inf)


def _risk_note(evidence: Evidence, risky: Tensor) -> str:
    names = [f"{evidence.sample.names[int(row)]} ({evidence.margins[row]:.2g})" for row in risky]
    if not names:
        return "No row has a decision (second expert, card gate) that float32 rounding can turn."
    shown = ", ".join(names[:N_SHOWN]) + (", ..." if len(names) > N_SHOWN else "")
    return (
        f"{len(names)} rows have a decision (second against third expert, card gate against its threshold) "
        f"whose margin is within float32 rounding, and are compared block by block alone: {shown}."
    )


def _histogram(found: Tensor, own: Tensor, truth: Tensor) -> Plot:
    uppers = [0.5, 1, 2, 4, 8, 16, 32, 64, 128]
    labels = [f"≤ {upper:g}" for upper in uppers] + ["more"]
    series: dict[str, list[float | None]] = {}
    for name, x in (("shipped", found), ("reference", own)):
        bucket = torch.bucketize(ulp_distance(x, truth).flatten(), torch.tensor(uppers, dtype=torch.float64))
        series[name] = [float(n) for n in torch.bincount(bucket, minlength=len(labels))]
    return Plot(
        title="Distance of the float32 logits from the float64 reference",
        kind="bars",
        x_label="units in the last place (ULP)",
        y_label="logits",
        labels=labels,
        series=series,
    )
