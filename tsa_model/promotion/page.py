"""The comparison as one HTML page: the outcome first, then each check, the figures, the models."""

from __future__ import annotations

from pathlib import Path

from tsa_model.pages import charts
from tsa_model.pages.render import render_page
from tsa_model.promotion.comparison import Comparison, ModelIdentity
from tsa_model.signing import shown_signature

TEMPLATE = Path(__file__).with_name("comparison.html.j2")
FIGURE_NAMES = {"auc": "ROC AUC", "average_precision": "average precision"}
FIGURE_COLUMNS = ("challenger", "champion", "difference", "interval", "must not lie below")
IDENTITY_NAMES = {
    "digest": "model folder, SHA-256",
    "onnx_sha256": "ONNX file, SHA-256",
    "weights_sha256": "weights, SHA-256",
    "verdict_id": "equivalence verdict",
}


def render_comparison(comparison: Comparison, outcome: str, key_figure: str) -> str:
    """The page of a comparison, complete in itself.

    Args:
        comparison: what was found.
        outcome: what became of the challenger ("promoted").
        key_figure: the comparison in one line.
    """
    period = ""
    if comparison.period is not None:
        start, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in comparison.period)
        period = f"{start} to {end} UTC"
    champion = comparison.champion
    return render_page(
        TEMPLATE,
        comparison=comparison,
        outcome=outcome,
        key_figure=key_figure,
        period=period,
        columns=FIGURE_COLUMNS,
        figures=_figures(comparison),
        chart=_chart(comparison),
        slices=_slices(comparison),
        signature=shown_signature(comparison.signature),
        challenger=_identity(comparison.challenger),
        champion=None if champion is None else _identity(champion),
    )


def _slices(comparison: Comparison) -> list[tuple[str, ...]]:
    """Per group of orders: its name, counts, differences, and whether it was held."""
    rows = []
    for one in comparison.slices:
        shown = [
            f"{part.difference:+.4f} [{part.low:+.4f}, {part.high:+.4f}]"
            for part in (one.figures.get(name) for name in FIGURE_NAMES)
            if part is not None
        ]
        found = "held" if one.passed else "worse"
        rows.append(
            (
                one.slice.replace("_", " "),
                one.group,
                f"{one.orders:,}",
                f"{one.frauds:,}",
                *(shown or ["", ""]),
                f"too small: {one.too_small}" if one.too_small else found,
            )
        )
    return rows


def _identity(model: ModelIdentity) -> dict[str, str]:
    return {IDENTITY_NAMES[name]: value for name, value in model.model_dump().items()}


def _figures(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Name of a figure → its value in each of the `FIGURE_COLUMNS`."""
    return {
        FIGURE_NAMES.get(name, name): (
            f"{one.challenger:.4f}",
            f"{one.champion:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            f"{-one.margin:+.4f}",
        )
        for name, one in comparison.figures.items()
    }


def _chart(comparison: Comparison) -> str:
    named = {FIGURE_NAMES.get(name, name): one for name, one in comparison.figures.items()}
    if not named:
        return ""
    return charts.intervals(
        [charts.DrawnInterval(name, one.difference, one.low, one.high) for name, one in named.items()],
        "challenger minus champion",
        {name: -one.margin for name, one in named.items()},
    )
