"""Check 2: in float32, is the shipped network as close to the truth as the reference is?

Rows with a decision that rounding can turn (see `ties`) are compared block by block instead: free-running, a
correct network may lawfully give them another expert.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.blocks import LEAVES, Call, calls_of, replay
from tsa_model.equivalence.compare import ulp_distance
from tsa_model.equivalence.evidence import Evidence
from tsa_model.equivalence.networks import outputs, rows_of
from tsa_model.equivalence.results import (
    CheckResult,
    Measurement,
    Plot,
    at_least,
    at_most,
    conclude,
    reported,
)
from tsa_model.equivalence.ties import other_choice, tied_tokens
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.networks import Network

N_FORCED = 16
"""Most rows compared block by block."""
N_AGAIN = 16
"""Most rows whose error is measured again."""
N_RUNS = 8
"""Further float32 runs of the reference for them."""
N_FAR = 2
"""Most rows that may be further off than rounding explains and are judged block by block instead: a fault of
the code is in every row."""
N_TYPICAL = 100
"""Fewest values whose median error means anything."""


def check_rounding(evidence: Evidence) -> CheckResult:
    """Check 2: float32 errors against the float64 reference, beside the reference's own."""
    sample, at_risk = evidence.sample, evidence.at_risk
    far = _far_rows(evidence)
    if len(far) <= N_FAR:
        at_risk = at_risk.index_fill(0, far, True)
    measurements = []
    for group, name, held in _groups(evidence, at_risk):
        found, own, truth = _three(evidence, name, held)
        names = [sample.names[int(row)] for row in held]
        again = partial(_run_again, evidence, name, held)
        measurements += compare_rounding(f"{name}, {group}", found, own, truth, names, again)
    ratio = max((m.value or 0.0 for m in measurements), default=0.0)
    share = 1 - at_risk[: sample.n_real].double().mean().item()
    measurements.append(at_least("share of real rows compared free-running", share, tolerance.FREE_RUNNING))
    (risky,) = torch.where(at_risk)
    if len(risky) < len(sample):
        closest = evidence.margins[~at_risk].min().item()
        if closest < torch.inf:
            measurements.append(reported("smallest decision margin of the other rows, in roundings", closest))
    measurements += _forced(evidence, risky[:N_FORCED])
    logits = (x["logits"][~at_risk] for x in (evidence.shipped_rounded, evidence.rounded, evidence.truth))
    return conclude(
        2,
        "Rounding in float32",
        "Is the float32 error of the shipped network no larger than rounding makes the reference's own?",
        measurements,
        f"the float32 error is at most {ratio:.2f} times the reference's own "
        f"(largest allowed {tolerance.ROUNDING_FACTOR:g})",
        notes=[_risk_note(evidence, risky), *_far_note(evidence, far)],
        plots=[_histogram(*logits)],
    )


def _groups(evidence: Evidence, at_risk: Tensor) -> Iterator[tuple[str, str, Tensor]]:
    """Group, output and row numbers of every comparison."""
    sample = evidence.sample
    is_real = torch.arange(len(sample)) < sample.n_real
    for group, rows in (("real rows", is_real), ("edge cases", ~is_real)):
        (held,) = torch.where(rows & ~at_risk)
        if len(held):
            for name in ("logits", "ensemble"):
                yield group, name, held


def _three(evidence: Evidence, name: str, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An output of the judged network and of the reference in float32, and of the reference in float64."""
    found, own, truth = (x[name][rows] for x in (evidence.shipped_rounded, evidence.rounded, evidence.truth))
    return found, own, truth


def _far_rows(evidence: Evidence) -> Tensor:
    """Rows beyond the bound free-running. A few are ill-conditioned, and are judged block by block."""
    far = []
    for _, name, held in _groups(evidence, evidence.at_risk):
        again = partial(_run_again, evidence, name, held)
        ratio_by_row = _ratio_by_row(*_three(evidence, name, held), again)
        far.append(held[ratio_by_row > tolerance.ROUNDING_FACTOR])
    return torch.cat(far).unique() if far else torch.empty(0, dtype=torch.long)


def _far_note(evidence: Evidence, far: Tensor) -> list[str]:
    if not 0 < len(far) <= N_FAR:
        return []
    names = ", ".join(evidence.sample.names[int(row)] for row in far)
    return [
        f"{len(far)} row(s) are further off than {tolerance.ROUNDING_FACTOR:g} times the reference, which an "
        f"ill-conditioned row can be by chance, and are compared block by block as well: {names}."
    ]


def _run_again(evidence: Evidence, name: str, held: Tensor, rows: Tensor) -> list[Tensor]:
    """An output of the float32 reference for some of the held rows, once per set of nudged weights."""
    batch = rows_of(evidence.sample.batch, held[rows])
    reference = evidence.networks.reference
    return [outputs(nudged(reference, seed), batch)[name] for seed in range(N_RUNS)]


@torch.no_grad()
def nudged(network: Network, seed: int) -> Network:
    """A copy whose float32 weights moved to a neighbouring number or stayed: as good a rounding as any."""
    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        towards = torch.randint(-1, 2, parameter.shape, generator=generator) * torch.inf
        moved = torch.nextafter(parameter, towards.to(parameter))
        parameter.copy_(torch.where(torch.isnan(towards) | (parameter == 0), parameter, moved))
    return network


Again = Callable[[Tensor], list[Tensor]]
"""Row numbers → what other float32 runs of the reference give for these rows."""


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
        again: asked about rows that seem too far off. One run shows an ill-conditioned row's error by chance
            only; several show how large it can be.
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
    error, own_error = found.double() - truth, own.double() - truth
    floor = tolerance.unit(torch.float32) * truth.abs().max()
    by_row = error.abs().flatten(1).amax(1).nan_to_num(torch.inf)
    tail = tolerance.ROUNDING_TAIL * own_error.square().mean().sqrt()
    allowed = torch.stack([own_error.abs().max(), tail, tolerance.ROUNDING_FLOOR_ULP * floor]).max()
    allowed_by_row = allowed.expand(len(by_row)).clone()
    (far,) = torch.where(by_row > tolerance.ROUNDING_FACTOR * allowed)
    if again is not None and 0 < len(far) <= N_AGAIN:
        for run in again(far):
            seen = (run.double() - truth[far]).abs().flatten(1).amax(1)
            seen = torch.where(seen < tolerance.TURNED * allowed, seen, 0.0)
            allowed_by_row[far] = torch.maximum(allowed_by_row[far], seen)
    return by_row / allowed_by_row


def _forced(evidence: Evidence, rows: Tensor) -> list[Measurement]:
    """The float32 blocks on the float64 reference's inputs, for rows not compared free-running."""
    if len(rows) == 0:
        return []
    batch = rows_of(evidence.sample.batch, rows)
    calls = [c for c in calls_of(evidence.networks.reference64, batch)[0] if isinstance(c.block, LEAVES)]
    found, own = (
        replay(calls, network) for network in (evidence.networks.shipped, evidence.networks.reference)
    )
    measurements = []
    for (call, x), (_, y) in zip(found, own, strict=True):
        truth = call.output
        error, own_error = _nearest(call, x), _nearest(call, y)
        allowed = tolerance.BLOCK_ROUNDING_FACTOR * max(
            own_error, tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(torch.float32) * truth.abs().max().item()
        )
        measurements.append((error / allowed if allowed else float(error > 0), call.name))
    worst, name = max(measurements)
    return [
        at_most(
            f"rows compared block by block ({len(rows)}): largest share of the allowed error",
            worst,
            1.0,
            name,
        )
    ]


def _nearest(call: Call, x: Tensor) -> float:
    """Largest error of one block's output; a token in a tie may have gone to either expert."""
    error = (x.double() - call.output).abs()
    if isinstance(call.block, MixtureOfExperts):
        tied_GN = tied_tokens(call.block, call.args[0], torch.float32)
        if tied_GN.any():
            other = other_choice(call.block, call.args[0][tied_GN])
            error[tied_GN] = torch.minimum(
                error[tied_GN].amax(-1), (x[tied_GN].double() - other).abs().amax(-1)
            )[:, None]
    return error.nan_to_num(torch.inf).max().item()


def _risk_note(evidence: Evidence, risky: Tensor) -> str:
    names = [f"{evidence.sample.names[int(row)]} ({evidence.margins[row]:.2g})" for row in risky]
    if not names:
        return "No row has a decision (second expert, card gate) that float32 rounding can turn."
    shown = ", ".join(names[:N_FORCED]) + (", ..." if len(names) > N_FORCED else "")
    return (
        f"{len(names)} rows have a decision (second against third expert, card gate against its threshold) "
        f"whose margin is within float32 rounding, and are compared block by block instead: {shown}."
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
