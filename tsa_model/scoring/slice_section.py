"""The report's section about slices: a table and a picture for each, and how alike protected groups fare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsa_model.pages import charts

if TYPE_CHECKING:
    from markupsafe import Markup

COLUMNS = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "recall": "recall",
    "precision": "precision",
    "false_positive_rate": "false-positive rate",
    "amount_recall": "amount found",
    "ece": "calibration error",
}
"""Figure → the name of its column."""
WAYS = {
    "one_threshold": "at one threshold for all",
    "equal_alert_rate": "at an equal alert rate in every group",
}


@dataclass(frozen=True)
class GroupRow:
    """One group of a slice."""

    name: str
    orders: str
    frauds: str
    too_small: str
    cells: list[tuple[str, str, str]]
    """Per shown figure: the column's name, the value, and the interval."""


@dataclass(frozen=True)
class ShownSlice:
    """One slice."""

    heading: str
    columns: list[str]
    rows: list[GroupRow]
    chart: Markup | None
    """AUC of every group that has one; None where fewer than two have."""
    sentences: list[str]
    """About a protected slice."""


def slice_section(metrics: Mapping[str, Any]) -> list[ShownSlice]:
    """Every slice of the test period.

    Args:
        metrics: what `generate_scores` measured; without `slices` there is nothing to show.
    """
    protected = metrics.get("protected", {})
    return [
        _shown(name, groups, metrics["test"]["auc"], protected.get(name, {}))
        for name, groups in metrics.get("slices", {}).items()
    ]


def _shown(
    name: str, groups: Mapping[str, Any], common: Mapping[str, float], treated: Mapping[str, Any] | None
) -> ShownSlice:
    measured = {group: one for group, one in groups.items() if "too_small" not in one}
    shown = [figure for figure in COLUMNS if any(figure in one for one in measured.values())]
    rows = [_row(group, one, shown) for group, one in groups.items()]
    drawn = [charts.DrawnInterval(group, **one["auc"]) for group, one in measured.items()]
    chart = None
    if len(drawn) > 1:
        chart = charts.ranges(drawn, "ROC AUC", charts.DrawnInterval("all orders", **common))
    columns = [COLUMNS[figure] for figure in shown]
    return ShownSlice(name.replace("_", " "), columns, rows, chart, _about_treatment(treated))


def _row(group: str, one: Mapping[str, Any], shown: list[str]) -> GroupRow:
    cells = []
    for figure in shown:
        value = one.get(figure)
        interval = "" if value is None else f"{value['low']:.3f} to {value['high']:.3f}"
        cells.append((COLUMNS[figure], "none" if value is None else f"{value['value']:.3f}", interval))
    return GroupRow(group, f"{one['orders']:,}", f"{one['frauds']:,}", one.get("too_small", ""), cells)


def _about_treatment(treated: Mapping[str, Any] | None) -> list[str]:
    """How alike the groups of a protected slice fare; nothing of another slice."""
    if treated is None:
        return ["This slice is protected, but fewer than two of its groups are large enough to compare."]
    if not treated:
        return []
    sentences = ["This slice is protected: genuine orders of its groups should be alerted equally often."]
    for way, words in WAYS.items():
        one = treated[way]
        if one["ratio"] is None:
            sentences.append(f"No genuine order is alerted {words}.")
            continue
        rates = one["false_positive_rates"]
        low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
        sentences.append(
            f"The smallest false-positive rate over the largest is {one['ratio']:.3f} [{one['low']:.3f}, "
            f"{one['high']:.3f}] {words}: {rates[low]:.4f} for {low}, {rates[high]:.4f} for {high}."
        )
    return sentences
