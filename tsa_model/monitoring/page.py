"""What monitoring found as one HTML page: the level and its reasons, then weeks and days, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tsa_model.monitoring.documents import Figure, Level, MonitoredDay, MonitoredPeriod, Monitoring
from tsa_model.pages.charts import Curve, curves
from tsa_model.pages.render import render_page
from tsa_model.signing import shown_signature

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("monitoring.html.j2")
MARKS: dict[Level, str] = {"fine": "ok", "look": "warn", "act": "stop"}
VERDICTS: dict[Level, str] = {
    "fine": "everything looks as it should",
    "look": "somebody should look",
    "act": "something must be done",
}
WEEK_COLUMNS = {
    "average_precision": "avg. precision",
    "auc": "AUC",
    "recall": "recall",
    "precision": "precision",
    "recall_at_rate": "recall at rate",
    "calibration": "calibration",
    "amount_saved": "saved",
    "amount_lost": "lost",
}
DRAWN = {"average_precision": "Average precision", "recall_at_rate": "Recall at the alert rate"}
MOST_DAYS = 56
"""Days in the table; the document holds all."""
MOST_WEEKS = 26
SHOWN_DIGITS = 12


class Reason(NamedTuple):
    """A signal of the newest day that is not fine."""

    level: Level
    title: str
    reason: str
    since: str


class Cell(NamedTuple):
    """A figure of a week, as it is shown."""

    value: str
    interval: str


class Row(NamedTuple):
    """A week, as it is shown."""

    name: str
    note: str
    cells: list[Cell]


class Day(NamedTuple):
    """A day, as it is shown."""

    level: Level
    name: str
    orders: str
    alerts: str
    frauds: str
    words: str


def render_monitoring(found: Monitoring) -> str:
    """The page of a document, complete in itself."""
    weeks, days = found.weeks[::-1][:MOST_WEEKS], found.days[::-1]
    columns = [
        name
        for name in WEEK_COLUMNS
        if any(name in week.realised or name in week.estimated for week in weeks)
    ]
    return render_page(
        TEMPLATE,
        found=found,
        mark=MARKS,
        verdict=VERDICTS,
        facts=_facts(found),
        labels_known=_labels_known(found),
        reasons=_reasons(found),
        charts=_charts(found.weeks[-MOST_WEEKS:]),
        held=_held(found.weeks),
        week_columns=[WEEK_COLUMNS[name] for name in columns],
        weeks=[_week(week, columns, found) for week in weeks],
        days=[_day(day) for day in days[:MOST_DAYS]],
        left_out=max(len(days) - MOST_DAYS, 0),
        rate=f"{found.alert_share:.2%}",
        identity=_identity(found),
    )


def _facts(found: Monitoring) -> list[tuple[str, str]]:
    newest, labelled = found.days[-1], [week for week in found.weeks if week.is_labelled]
    facts = [("orders on the newest day", f"{newest.orders:,}")]
    if expected := newest.estimated.get("frauds"):
        facts.append(("frauds expected among them", f"{expected.low:,.0f} to {expected.high:,.0f}"))
    if labelled and (realised := labelled[-1].realised.get("average_precision")):
        facts.append(("average precision of the newest labelled week", f"{realised.value:.3f}"))
    if before := found.baseline.get("average_precision"):
        facts.append(("in the reference", f"{before.value:.3f}"))
    return facts


def _labels_known(found: Monitoring) -> str:
    labelled = [day for day in found.days if day.is_labelled]
    if not labelled:
        return "of no day are labels known yet"
    return (
        f"labels are due after {found.label_delay_days:g} days and known up to {labelled[-1].start:%Y-%m-%d}"
    )


def _reasons(found: Monitoring) -> list[Reason]:
    since = {alarm.signal: f"{alarm.since:%Y-%m-%d}" for alarm in found.alarms}
    told = [one for one in found.days[-1].signals if one.level != "fine"]
    told.sort(key=lambda one: one.level != "act")
    return [Reason(one.level, one.title, one.reason, since.get(one.title, "")) for one in told]


def _charts(weeks: Sequence[MonitoredPeriod]) -> dict[str, Markup]:
    charts = {}
    for figure, name in DRAWN.items():
        drawn: dict[str, Curve] = {}
        estimated = [(n, week.estimated[figure]) for n, week in enumerate(weeks) if figure in week.estimated]
        realised = [(n, week.realised[figure]) for n, week in enumerate(weeks) if figure in week.realised]
        last = len(weeks) - 1
        if estimated:
            values = [one for _, one in estimated]
            drawn["estimated before labels"] = Curve(
                [n - last for n, _ in estimated],
                [one.value for one in values],
                [one.low for one in values],
                [one.high for one in values],
            )
        if realised:
            drawn["realised"] = Curve([n - last for n, _ in realised], [one.value for _, one in realised])
        if drawn and len(weeks) > 1:
            charts[name] = curves(drawn, "weeks before the newest", name.lower())
    return charts


def _held(weeks: Sequence[MonitoredPeriod]) -> str:
    """How often the realised figure lay in its estimate."""
    told = []
    for figure, name in DRAWN.items():
        both = [
            (week.estimated[figure], week.realised[figure].value)
            for week in weeks
            if figure in week.realised and figure in week.estimated
        ]
        if both:
            inside = sum(estimated.holds(value) for estimated, value in both)
            told.append(f"{name.lower()} in {inside} of {len(both)}")
    return (
        f"the realised figure lay in its interval: {', '.join(told)} weeks"
        if told
        else "no week is labelled yet"
    )


def _week(week: MonitoredPeriod, columns: Sequence[str], found: Monitoring) -> Row:
    notes = [f"{week.orders:,} orders"]
    if week.is_labelled:
        notes.append(f"{week.frauds:,} frauds")
    if week.end > found.as_of:
        notes.append("not over yet")
    cells = []
    for name in columns:
        sign, figure = (
            ("", week.realised[name]) if name in week.realised else ("≈ ", week.estimated.get(name))
        )
        cells.append(Cell("", "") if figure is None else _cell(name, figure, sign))
    return Row(f"{week.start:%Y-%m-%d}", ", ".join(notes), cells)


def _cell(name: str, figure: Figure, sign: str) -> Cell:
    def shown(value: float) -> str:
        return short_amount(value) if name.startswith("amount") else f"{value:.3f}"

    return Cell(sign + shown(figure.value), f"{shown(figure.low)} to {shown(figure.high)}")


def short_amount(value: float) -> str:
    """An amount in a narrow column: 7,841, 24.0 k, 1.69 M."""
    if abs(value) < 9_999.5:
        return f"{value:,.0f}"
    return f"{value / 1e3:,.1f} k" if abs(value) < 999_950 else f"{value / 1e6:,.2f} M"


def _day(day: MonitoredDay) -> Day:
    alerts = next((one for one in day.signals if one.name == "alert rate"), None)
    told = [f"{one.title} ({one.level})" for one in day.signals if one.level != "fine"]
    expected = day.estimated.get("frauds")
    frauds = f"{day.frauds:,}" if day.is_labelled else ""
    if not day.is_labelled and expected is not None:
        frauds = f"≈ {expected.low:,.0f} to {expected.high:,.0f}"
    return Day(
        level=day.level,
        name=f"{day.start:%a %Y-%m-%d}",
        orders=f"{day.orders:,}",
        alerts="" if alerts is None else f"{alerts.value:.2f} times the usual",
        frauds=frauds,
        words=", ".join(told),
    )


def _identity(found: Monitoring) -> dict[str, object]:
    return {
        "scores": {path: digest[:SHOWN_DIGITS] for path, digest in found.sources.items()},
        "model, SHA-256 of the ONNX file": found.model_digest,
        "reference, SHA-256 of its scores": str(found.reference_sha256),
        "alert threshold": f"{found.threshold:.6g}",
        "document, SHA-256": found.sha256 or "",
        "signature": shown_signature(found.signature),
    }
