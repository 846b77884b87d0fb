"""Check 3: where does the first difference arise? Layer by layer, free-running and teacher-forced."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.calls import replay
from tsa_model.equivalence.evidence.networks import align
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import CheckResult, Measurement, Plot, at_least, at_most


class Point(NamedTuple):
    """How far one tensor is from the reference's."""

    name: str
    relative: float
    """Largest difference divided by the tensor's largest value; infinite where shapes differ."""
    where: str


def check_divergence(evidences: dict[str, Evidence]) -> CheckResult:
    """Check 3, for each set of weights."""
    measurements: list[Measurement] = []
    notes: list[str] = []
    plots: list[Plot] = []
    n_blocks = n_tensors = 0
    for label, evidence in evidences.items():
        free, forced = free_running(evidence), teacher_forced(evidence)
        n_blocks, n_tensors = n_blocks + len(forced), n_tensors + len(free)
        notes += [f"{line} ({label})" for line in _story(free, forced)]
        measurements += [
            at_most(f"{label}, {point.name}, same input", point.relative, tolerance.BLOCK, point.where)
            for point in forced
        ]
        measurements.append(at_least(f"{label}: blocks given the reference's input", len(forced), 1))
        plots += [_plot(f"{label}: free-running", free), _plot(f"{label}: teacher-forced", forced)]
    return DIVERGENCE.conclude(
        measurements,
        f"none of {n_blocks} blocks differs on the reference's own inputs, "
        f"and none of {n_tensors} tensors in the free-running networks",
        notes=notes,
        plots=plots,
        blame="; ".join(notes),
    )


DIVERGENCE = Check(
    3,
    "First divergence",
    "Given the same input, does every single block compute the same? If not, which is the first?",
    lambda subject: check_divergence(subject.evidences),
)


def free_running(evidence: Evidence) -> list[Point]:
    """Every tensor both networks name, each network on its own intermediate results."""
    rows = [evidence.sample.names[int(row)] for row in evidence.traced_rows]
    found = evidence.shipped_layers
    return [
        _point(name, found[name], align(expected, found[name]), rows)
        for name, expected in evidence.layers.items()
        if name in found
    ]


def teacher_forced(evidence: Evidence) -> list[Point]:
    """Every block of the shipped network on the reference's input to it."""
    names = [evidence.sample.names[int(row)] for row in evidence.traced_rows]
    points = []
    for call, found in replay(evidence.calls, evidence.networks.shipped64):
        rows = [names[int(row)] for row in call.rows]
        if found.shape != call.output.shape:
            points.append(_point(call.name, found, call.output, rows))
        else:
            points.append(_point(call.name, call.rows_first(found), call.rows_first(call.output), rows))
    return points


def _point(name: str, found: Tensor, expected: Tensor, rows: list[str]) -> Point:
    if found.shape != expected.shape:
        return Point(name, torch.inf, f"shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    gap = difference(found, expected)
    by_row = (found.double() - expected.double()).abs().flatten(1).amax(1).nan_to_num(torch.inf)
    worst = by_row.argsort(descending=True)[:3].tolist()
    wrong = [rows[row] for row in worst if by_row[row] > 0.1 * by_row[worst[0]]]
    return Point(name, gap.relative, f"order {', '.join(wrong)}" if gap.absolute > 0 else "")


def _story(free: list[Point], forced: list[Point]) -> list[str]:
    """The first tensor that differs, in both modes."""
    lines = []
    for mode, points, bound in (
        ("free-running", free, tolerance.ALARM),
        ("teacher-forced", forced, tolerance.BLOCK),
    ):
        first = next((point for point in points if not point.relative <= bound), None)
        if first is not None:
            lines.append(
                f"{FIRST} {mode}: {first.name} differs by {first.relative:.2g} of its scale, {first.where}"
            )
    return lines


FIRST = "first divergence"


def _plot(title: str, points: list[Point]) -> Plot:
    return Plot(
        title=f"{title}: relative float64 difference",
        kind="points",
        x_label="in the order computed",
        y_label="relative difference",
        labels=[point.name for point in points],
        series={"difference": [point.relative if point.relative < torch.inf else None for point in points]},
        bound=tolerance.BLOCK,
        log_y=True,
    )
