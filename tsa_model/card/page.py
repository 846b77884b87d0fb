"""The card as one HTML page, complete in itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tsa_model.card.content import Card, Group, Measured, read_card
from tsa_model.pages.charts import DrawnInterval, ranges
from tsa_model.pages.render import render_page
from tsa_model.sealed_pages import write_page
from tsa_model.signing import shown_signature

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("card.html.j2")
NAMES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "recall": "Recall at the alert threshold",
    "precision": "Precision at the alert threshold",
}
SHOWN = ("auc", "average_precision", "recall", "false_positive_rate")
"""Figures of a group, in the order of their columns."""
MOST_GROUPS = 12
"""In the chart of a slice; the table holds all."""


def write_card(folder: Path, page: Path) -> Card:
    """Write the card of a model folder.

    Raises:
        ValueError: it is no model folder, or was changed.
    """
    card = read_card(folder)
    write_page(page, render(card), card.about.sha256)
    return card


def render(card: Card) -> str:
    """The page of a card."""
    return render_page(
        TEMPLATE,
        card=card,
        facts=list(_facts(card)),
        made=dict(_made(card)),
        columns=dict(_columns(card)),
        periods=list(_periods(card)),
        figures=[(_name(one), f"{one.value:.4f}", one.interval) for one in _chosen(card.figures)],
        all_figures=[(_name(one), f"{one.value:.4f}", one.interval) for one in card.figures],
        rival={_name(one): f"{one.value:.4f}" for one in card.rival},
        slices=[
            (name, _rows(groups), _heads(groups), _chart(card, groups))
            for name, groups in card.slices.items()
        ],
        parity=list(_parity(card)),
        shown_signature=shown_signature,
    )


def _name(one: Measured) -> str:
    if one.name in NAMES:
        return NAMES[one.name]
    kind, _, rate = one.name.partition("@")
    words = kind.replace("_", " ").capitalize()
    return (
        f"{words} at {rate.replace('_', ' ')}" + (" alerts" if rate.endswith("%") else "") if rate else words
    )


def _chosen(figures: tuple[Measured, ...]) -> list[Measured]:
    """Those that people look at first: areas, and recall by alert rate."""
    wanted = [one for one in figures if one.name in NAMES or one.name.startswith("recall@")]
    return [one for one in wanted if "alert_rate" not in one.name and "best" not in one.name]


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    by_name = {one.name: one for one in card.figures}
    if "auc" in by_name:
        yield "test AUC", f"{by_name['auc'].value:.4f}"
    if "average_precision" in by_name:
        yield "average precision", f"{by_name['average_precision'].value:.4f}"
    if "test" in card.counts:
        yield "test orders", f"{card.counts['test'][0]:,}"
        yield "test frauds", f"{card.counts['test'][1]:,}"
    if card.parameters is not None:
        yield "trained values", f"{card.parameters:,}"


def _made(card: Card) -> Iterator[tuple[str, str]]:
    network, about = card.about.network, card.about
    two = network.sequences == "dual"
    yield "Kind", f"Temporal Self-Attention, {'two histories' if two else 'one history'} of each order"
    yield (
        "Layers",
        f"{network.n_layers_feature} for features, {network.n_layers_order} for orders, width "
        f"{network.dim_embedding_table}",
    )
    experts = f"mixtures of {network.num_experts} experts, {about.moe_eval}" if network.use_moe else "plain"
    yield "Feed-forward", experts
    yield (
        "Networks",
        f"{network.members} trained with different seeds, their mean" if network.members > 1 else "one",
    )
    yield "Project version", f"{about.project_version}, code {about.code_sha256[:12]}"
    if card.calibration:
        yield "Calibration", card.calibration
    yield "Weights", about.weights_sha256
    yield "ONNX file", about.onnx_sha256
    if card.entry is not None:
        state = "in use" if card.is_champion else "not in use now"
        yield "Promoted", f"{card.entry.time:%Y-%m-%d %H:%M} UTC as {card.entry.id}, {state}"


def _columns(card: Card) -> Iterator[tuple[str, list[str] | str]]:
    data = card.dataset
    yield "Keys of the histories", [name for name in (data.customer_id, data.card_id) if name]
    for words, names in (
        ("Categories", data.categorical),
        ("Numbers", data.numerical),
        ("Of the current order only", data.engineered),
        ("From the order's time", data.calendar),
    ):
        if names:
            yield words, list(names)
    told = f", unless {data.label_time} says when" if data.label_time is not None else ""
    yield "Labels are known after", f"{data.label_delay_days:g} days{told}"


def _periods(card: Card) -> Iterator[tuple[str, str, str, str, str]]:
    uses = {
        "train": "weights, vocabulary, scaler",
        "vali": "early stopping",
        "cali": "percentiles, calibration",
        "test": "the figures on this page",
    }
    for name, use in uses.items():
        start, end = (getattr(card.dataset.split, f"{name}_{edge}") for edge in ("start", "end"))
        orders, frauds = card.counts.get(name, (None, None))
        counts = ("" if count is None else f"{count:,}" for count in (orders, frauds))
        yield (name, f"{start:%Y-%m-%d} to {end:%Y-%m-%d}", use, *counts)  # type: ignore[misc]


def _parity(card: Card) -> Iterator[tuple[str, str]]:
    parity = card.about.parity
    yield "orders compared", f"{parity.rows:,}"
    yield "results compared", f"{parity.results:,}"
    yield "worst difference, as a share of the tolerance", f"{parity.worst_share_of_tolerance:.3g}"
    yield "orders excused for a tie", f"{parity.excused_rows:,}"


def _heads(groups: tuple[Group, ...]) -> list[str]:
    there = {one.name for group in groups for one in group.figures}
    return [name for name in SHOWN if name in there]


def _rows(groups: tuple[Group, ...]) -> list[tuple[str, ...]]:
    heads = _heads(groups)
    rows = []
    for group in groups:
        figures = {one.name: f"{one.value:.4f} {one.interval}".strip() for one in group.figures}
        shown = [figures.get(name, group.too_small if k == 0 else "") for k, name in enumerate(heads)]
        rows.append((group.name, f"{group.orders:,}", f"{group.frauds:,}", *shown))
    return rows


def _chart(card: Card, groups: tuple[Group, ...]) -> Markup | None:
    drawn = [found for group in groups if (found := _auc(group.name, group.figures)) is not None]
    return (
        ranges(drawn[:MOST_GROUPS], "test AUC", _auc("all orders", card.figures)) if len(drawn) > 1 else None
    )


def _auc(name: str, figures: tuple[Measured, ...]) -> DrawnInterval | None:
    for one in figures:
        if one.name == "auc" and one.low is not None and one.high is not None:
            return DrawnInterval(name, one.value, one.low, one.high)
    return None
