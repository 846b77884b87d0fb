"""The slices of a description, fitted on the training period and applied to scored orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.groups import (
    HISTORY_EDGES,
    HISTORY_NAMES,
    WEEKDAYS,
    Groups,
    SliceRule,
    band_names,
    number_edges,
    text_rule,
)
from tsa_model.evaluation.order_columns import ColumnKind, read_order_columns, store_amounts
from tsa_model.evaluation.stability import spread
from tsa_model.events.units import to_us
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.slices import BuiltIn, SliceColumn

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

AMOUNT_BANDS = 5
_WEEKDAY_EDGES = tuple(float(day) for day in range(1, 7))


def slice_orders(
    store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription, events: Any = None
) -> list[Groups]:
    """Put orders into the groups of every slice that a description asks for.

    Args:
        store: the sequence store of the orders.
        rows: [N] row numbers.
        dataset: the run's description; its `slices` and `amount` are used.
        events: the orders as they were read, see `SequenceStore.build`; needed where `slices.columns` is
            not empty.

    Returns:
        The slices, those of columns first. An order without a card is "missing" in the slices of the card
        where events were given, else its card counts as new.

    Raises:
        ValueError: slices by columns are asked for without events, or a column cannot be read.
    """
    return [groups for _, groups in fitted_slices(store, rows, dataset, events)]


def fitted_slices(
    store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription, events: Any = None
) -> list[tuple[SliceRule, Groups]]:
    """As `slice_orders`, each slice with the rule that puts later orders into the same groups."""
    found = _of_columns(store, rows, dataset, events)
    names = dataset.slices.chosen(len(store.keys) > 1, dataset.amount is not None)
    has_card = _has_card(store, rows, dataset, events) if {"new_card", "card_history"} & set(names) else None
    for name in names:
        rule, values = _built_in(name, store, rows, dataset)
        if name in ("new_card", "card_history") and has_card is not None:
            values = np.where(has_card, values, np.nan)
        found.append((rule, rule.assign(values)))
    return found


def _of_columns(
    store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription, events: Any
) -> list[tuple[SliceRule, Groups]]:
    columns = dataset.slices.columns
    if not columns:
        return []
    if events is None:
        raise ValueError(f"the slice {columns[0].title!r} is read from the orders, but no events were given")
    kinds: dict[str, ColumnKind] = {one.column: "number" if one.is_number else "category" for one in columns}
    if any(kinds[one.column] != ("number" if one.is_number else "category") for one in columns):
        raise ValueError("slices.columns names one column as a text and as a number: choose one")
    training = spread(training_rows(store))
    wanted = np.concatenate([training, np.asarray(rows, np.int64)])
    read = read_order_columns(events, dataset, kinds, store.ids_of(wanted))
    found = []
    for one in columns:
        values = read[one.column]
        rule = _column_rule(one, values[: training.size])
        found.append((rule, rule.assign(values[training.size :])))
    return found


def training_rows(store: SequenceStore) -> NDArray[np.int64]:
    """Row numbers of every order of the training window, labelled or not."""
    times = store.times_of(np.arange(len(store))).view(np.int64)
    first, last = np.searchsorted(times, [to_us(one) for one in store.description.split.window("train")])
    return np.arange(first, last)


def _column_rule(one: SliceColumn, training: NDArray[Any]) -> SliceRule:
    if not one.is_number:
        return text_rule(one.title, training, one.top, one.protected, one.column)
    edges = one.edges or number_edges(training.astype(np.float64), one.bins or 1)
    return SliceRule(
        name=one.title,
        source="column",
        column=one.column,
        kind="number",
        edges=edges,
        groups=band_names(edges),
        protected=one.protected,
    )


def _built_in(
    name: BuiltIn, store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription
) -> tuple[SliceRule, NDArray[Any]]:
    """The rule of a built-in slice, and the orders' values it looks at."""
    if name == "weekday":
        days = (store.times_of(rows).astype("datetime64[D]").view(np.int64) + 3) % 7  # the epoch: a Thursday
        rule = SliceRule(name=name, source="weekday", kind="number", edges=_WEEKDAY_EDGES, groups=WEEKDAYS)
        return rule, days
    if name == "amount_band":
        training = store_amounts(store, spread(training_rows(store)), dataset.amount)
        edges = number_edges(training, AMOUNT_BANDS)
        rule = SliceRule(name=name, source="amount", kind="number", edges=edges, groups=band_names(edges))
        return rule, store_amounts(store, rows, dataset.amount)
    of_customer = name in ("customer_history", "new_customer")
    lengths = store.earlier_orders(rows)[store.keys[0 if of_customer else 1]]
    by_length = name in ("customer_history", "card_history")
    rule = SliceRule(
        name=name,
        source="customer_history" if of_customer else "card_history",
        kind="number",
        edges=HISTORY_EDGES if by_length else (1,),
        groups=HISTORY_NAMES if by_length else ("new", "known"),
    )
    return rule, lengths


def _has_card(
    store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription, events: Any
) -> NDArray[np.bool_] | None:
    """[N] whether an order has a card; None where only the store is at hand, which does not say."""
    if events is None or dataset.card_id is None or dataset.layout == "wide":
        return None
    cards = read_order_columns(events, dataset, {dataset.card_id: "id"}, store.ids_of(rows))
    return np.array([card is not None for card in cards[dataset.card_id]])
