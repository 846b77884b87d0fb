"""The model report: one HTML page, complete in itself, about the model that scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsa_model.evaluation.intervals import FEW
from tsa_model.evaluation.metrics import missing_class
from tsa_model.pages import charts
from tsa_model.pages.render import data_url, render_page
from tsa_model.scoring.pictures import Picture
from tsa_model.scoring.probability_section import probability_section
from tsa_model.scoring.reasons_section import ReasonsSection, dependence_charts, size_rows, truth_rows
from tsa_model.scoring.slice_section import slice_section

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("report.html.j2")
FIGURE_NAMES = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "mean_probability": "mean calibrated probability",
}

RIVAL_NAMES = {
    "test": "TSA",
    "boosted_trees": "boosted trees (LightGBM)",
    "baseline": "logistic regression",
}
"""Name in the metrics → name on the page."""

Figure = Mapping[str, float]
"""`value`, and `low` and `high` of its interval."""


@dataclass(frozen=True)
class Card:
    """A figure of the first lines."""

    name: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True)
class ShownPicture:
    """A picture inside the page."""

    heading: str
    caption: str
    source: str


@dataclass(frozen=True)
class FigureTable:
    """Figures of one kind: name, value, interval."""

    heading: str
    rows: list[tuple[str, str, str]]


def render_report(
    title: str,
    metrics: Mapping[str, Any],
    pictures: Sequence[Picture],
    facts: Mapping[str, str],
    reasons: ReasonsSection | None = None,
) -> str:
    """The page.

    Args:
        title: name of the data set.
        metrics: what `generate_scores` measured.
        pictures: in the order they are shown.
        facts: provenance, name → value.
        reasons: of the alerts; None where none were explained.
    """
    has_figures = "test" in metrics
    scored, frauds = metrics["orders"]["test"], metrics["frauds"]["test"]
    return render_page(
        TEMPLATE,
        title=title,
        scored=scored,
        frauds=frauds,
        lacking=missing_class(scored, frauds),
        one_class_is_rare=min(frauds, scored - frauds) < FEW,
        cards=_cards(metrics) if has_figures else [],
        pictures=[ShownPicture(each.heading, each.caption, data_url(each.png)) for each in pictures],
        tables=_tables(metrics) if has_figures else [],
        alert_rates=_alert_rates(metrics) if has_figures else None,
        probability=probability_section(metrics["probability"]) if "probability" in metrics else None,
        slices=slice_section(metrics) if has_figures else [],
        weighted=_weighted(metrics) if "weighted" in metrics else None,
        rivals=_rivals(metrics) if has_figures else [],
        periods=_periods(metrics),
        reasons=None if reasons is None else reasons.figures,
        alerts=[] if reasons is None else reasons.alerts,
        truth=truth_rows(reasons.figures.truth) if reasons is not None and reasons.figures.truth else [],
        sizes=size_rows,
        dependence=[] if reasons is None else dependence_charts(reasons.figures.dependence),
        facts=facts,
    )


def _cards(metrics: Mapping[str, Any]) -> list[Card]:
    test, trees = metrics["test"], metrics["boosted_trees"]
    chosen = [
        ("ROC AUC", test["auc"], "test period"),
        ("Average precision", test["average_precision"], "test period"),
        ("Average precision of trees", trees["average_precision"], "LightGBM on the order's own features"),
        ("Recall at 1 % alerts", test["recall@1.0%"], "share of frauds among the top 1 %"),
    ]
    if "ece" in test:
        note = "calibrated probability against fraud"
        if "probability" in metrics:
            unseen = metrics["probability"]["orders_without_fraud"] / metrics["orders"]["test"]
            note = f"{unseen:.0%} of the orders lie in bins without a fraud"
        chosen.append(("Calibration error", test["ece"], note))
    return [
        Card(name, f"{figure['value']:.4f}", f"[{figure['low']:.4f}, {figure['high']:.4f}]", note)
        for name, figure, note in chosen
    ]


def _rivals(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """TSA and the models beside it: name, then value and interval of each figure."""
    figures = ("auc", "average_precision", "recall@1.0%")
    return [
        (
            name,
            *(_shown(one) for one in (metrics[key][figure] for figure in figures)),
        )
        for key, name in RIVAL_NAMES.items()
    ]


@dataclass(frozen=True)
class WeightedSection:
    """Figures of all orders where some were stopped."""

    sentence: str
    rows: list[tuple[str, str, str]]
    """Figure, of the orders that passed, of all."""


def _weighted(metrics: Mapping[str, Any]) -> WeightedSection:
    about, plain = metrics["weighted"], metrics["test"]
    rows = [
        (_in_words(name), _shown(plain[name]), _shown(about["figures"][name]))
        for name in plain
        if name in about["figures"]
    ]
    return WeightedSection(
        "Orders that were stopped have no label. Each that passed stands for the inverse of its chance to "
        f"pass, {about['largest_weight']:.3g} orders at most, all together for {about['orders']:,.0f}; the "
        f"weighted figures are as sure as those of {about['effective_orders']:,.0f} orders of equal weight.",
        rows,
    )


def _in_words(name: str) -> str:
    """A figure's name in the metrics, such as `recall@1.0%` or `precision@best_f1`, as people say it."""
    kind, _, at = name.partition("@")
    kind = FIGURE_NAMES.get(kind, kind.replace("_", " ").replace("amount recall", "recall of the amount"))
    if not at:
        return kind
    threshold = "the best F1" if at == "best_f1" else "the alert threshold"
    return f"{kind} at {f'{at} alerts' if at.endswith('%') else threshold}"


def _shown(one: Figure) -> str:
    return f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]"


def _tables(metrics: Mapping[str, Any]) -> list[FigureTable]:
    test: Mapping[str, Figure] = metrics["test"]
    groups: dict[str, list[tuple[str, Figure]]] = {}
    for name, figure in test.items():
        kind, _, at = name.partition("@")
        if at and at not in metrics["thresholds"]:
            label = "frauds" if kind == "recall" else "fraudulent amount"
            groups.setdefault(f"Share of {label} found at an alert rate", []).append((at, figure))
        elif at:
            score = metrics["thresholds"][at]
            heading = f"Alerts at score ≥ {score:.4g} ({at.replace('_', ' ')})"
            groups.setdefault(heading, []).append((kind.replace("_", " "), figure))
        else:
            groups.setdefault("Ranking and probability", []).append((FIGURE_NAMES.get(kind, kind), figure))
    return [
        FigureTable(
            heading,
            [
                (name, f"{each['value']:.4f}", f"{each['low']:.4f} to {each['high']:.4f}")
                for name, each in rows
            ],
        )
        for heading, rows in groups.items()
    ]


def _alert_rates(metrics: Mapping[str, Any]) -> Markup | None:
    """What is found over the share of orders that are alerted; None where no rate was measured."""
    found: dict[str, dict[float, Figure]] = {}
    for name, figure in metrics["test"].items():
        kind, _, at = name.partition("@")
        if at.endswith("%"):
            label = "frauds" if kind == "recall" else "fraudulent amount"
            found.setdefault(label, {})[float(at.removesuffix("%"))] = figure
    if not found:
        return None
    lines = {}
    for label, figures in found.items():
        rates = sorted(figures)
        ends = {end: [figures[rate][end] for rate in rates] for end in ("value", "low", "high")}
        lines[label] = charts.Curve(rates, ends["value"], ends["low"], ends["high"])
    return charts.curves(lines, "alerted orders, %", "share found", log_x=True)


def _periods(metrics: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    return [
        (name, f"{count:,}", f"{metrics['frauds'][name]:,}", f"{metrics['frauds'][name] / count:.2%}")
        for name, count in metrics["orders"].items()
    ]
