"""The verdict as one HTML page: the verdict first, then each check, the sample, the environment.

A function of the verdict alone, so that the page can be made again from the JSON file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsa_model.equivalence.results import CheckResult, Measurement, Plot, Verdict
from tsa_model.pages import charts
from tsa_model.pages.render import render_page
from tsa_model.signing import shown_signature

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("verdict.html.j2")
N_SHOWN = 12
"""Measurements of a check shown at first; the others fold away."""
TIMES = "\N{MULTIPLICATION SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class MeasuredRow:
    """A measurement in words."""

    name: str
    value: str
    bound: str
    margin: str
    where: str
    passed: bool


@dataclass(frozen=True)
class Chart:
    """A drawn plot and its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class CheckView:
    """A check as the page shows it."""

    number: int
    name: str
    question: str
    passed: bool
    reason: str
    notes: list[str]
    worst: MeasuredRow | None
    shown: list[MeasuredRow]
    hidden: list[MeasuredRow]
    charts: list[Chart]


def render(verdict: Verdict) -> str:
    """The page of a verdict, complete in itself."""
    sample = verdict.sample
    facts = {
        "Weights": verdict.weights_sha256[:16] or "unknown",
        "Data": verdict.store_digest[:16] or "unknown",
        "Program": f"{verdict.program.version}, code {verdict.program.code_sha256[:12]}",
        "Verdict": verdict.verdict_id[:16],
        "Signature": shown_signature(verdict.signature),
        "Rows compared": str(sample.get("rows", 0)),
        "Judged": str(verdict.environment.get("time", "")),
        "Took": f"{verdict.seconds:.0f} s",
    }
    return render_page(
        TEMPLATE,
        verdict=verdict,
        facts=facts.items(),
        checks=[_view(check) for check in verdict.checks],
        coverage={name: f"{count} real rows" for name, count in sample.get("coverage", {}).items()},
        edge_cases=", ".join(name.removeprefix("edge: ") for name in sample.get("edge_cases", ())),
    )


def worst_of(check: CheckResult) -> Measurement | None:
    """The measurement that failed, or the one closest to failing."""
    failed = [m for m in check.measurements if not m.passed]
    if failed:
        return failed[0]
    bounded = [m for m in check.measurements if m.margin is not None and m.bound]
    return min(bounded, key=lambda m: m.margin or 0.0, default=next(iter(check.measurements), None))


def draw(plot: Plot) -> Markup:
    """A plot as an SVG element."""
    if plot.kind == "bars":
        return charts.bars(plot.labels, plot.series, plot.x_label, plot.y_label)
    return charts.points(plot.labels, plot.series, plot.x_label, plot.y_label, plot.bound)


def _view(check: CheckResult) -> CheckView:
    worst = worst_of(check)
    rows = [_row(measurement) for measurement in sorted(check.measurements, key=_urgency)]
    return CheckView(
        number=check.number,
        name=check.name,
        question=check.question,
        passed=check.passed,
        reason=check.reason,
        notes=check.notes,
        worst=None if worst is None else _row(worst),
        shown=rows[:N_SHOWN],
        hidden=rows[N_SHOWN:],
        charts=[Chart(plot.title, draw(plot)) for plot in check.plots],
    )


def _urgency(measurement: Measurement) -> tuple[int, float]:
    """Failed ones first, then by margin, then what is only reported."""
    if not measurement.passed:
        return 0, 0.0
    return (1, measurement.margin) if measurement.margin is not None else (2, 0.0)


def _row(measurement: Measurement) -> MeasuredRow:
    return MeasuredRow(
        name=measurement.name,
        value="not finite" if measurement.value is None else f"{measurement.value:.3g}",
        bound=_bound(measurement),
        margin=_margin(measurement),
        where=measurement.where,
        passed=measurement.passed,
    )


def _bound(measurement: Measurement) -> str:
    if measurement.bound is None:
        return "reported"
    return f"{'≤' if measurement.relation == '<=' else '≥'}{SPACE}{measurement.bound:.3g}"


def _margin(measurement: Measurement) -> str:
    margin = measurement.margin
    if margin is None or not measurement.passed:
        return ""
    if math.isinf(margin):
        return "∞"
    return f"{margin:.2g}{SPACE}{TIMES}" if margin < 100 else f"{margin:.0e}{SPACE}{TIMES}"
