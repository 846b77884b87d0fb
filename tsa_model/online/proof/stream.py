"""Which orders are sent: a hashed sample of the test period, and every order that its histories hold.

Where customers and cards tie everything together, as terminals do, the sample is one of the period's first
orders, and all orders up to its end are sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.cleaning import wanted_columns
from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.reading import read_parts
from tsa_model.online.derived import DerivedColumns
from tsa_model.online.records import id_bytes
from tsa_model.sequences import SequenceStore


@dataclass(frozen=True)
class Extent:
    """How much is replayed."""

    compared: int = 2_000
    """Orders of the test period at most."""
    requests: int = 200
    """Of them, those that a server scores, too."""
    streamed: int = 20_000
    """Orders that are sent altogether at most."""

    @classmethod
    def everything(cls) -> Extent:
        """All orders of the test period, each over HTTP, too."""
        return cls(*[2**62] * 3)


@dataclass(frozen=True)
class Stream:
    """Orders to send one after the other, and those that lie in the history store before."""

    rows: np.ndarray
    """[S] row numbers in the sequence store, in time order."""
    chosen: frozenset[int]
    """Of them, those that are compared."""
    wanted: int
    """How many should be compared."""
    raw: Mapping[int, dict[str, Any]]
    """Row number → the order as JSON holds it."""
    before: pa.Table
    """Raw orders of the time before the first that is sent."""

    @classmethod
    def of(cls, events: Any, store: SequenceStore, extent: Extent) -> Stream:
        """The stream of a store.

        Args:
            events: the orders that it was built of.
            store: the sequence store.
            extent: how many orders.
        """
        d = store.description
        test = store.targets("test")
        among = test if len(test) else np.arange(max(0, len(store) - extent.compared), len(store))
        first = int(among.min())
        by_hash = _by_hash(store, among)
        chosen = by_hash[: extent.compared]
        rows = _needed(store, chosen, first)
        if len(rows) > extent.streamed:
            rows = np.arange(first, min(first + extent.streamed // 2, len(store)))
            chosen = by_hash[by_hash <= rows[-1]][: extent.compared]
        table = pa.concat_tables([part for _, part in read_parts(events, wanted_columns(d), csv=d.csv)])
        raw, before = _split(table, store, rows, first)
        return cls(rows, frozenset(chosen.tolist()), min(extent.compared, len(among)), raw, before)


def _by_hash(store: SequenceStore, rows: np.ndarray) -> np.ndarray:
    """Rows by a hash of their customer, so that the histories of a sample need few other orders."""
    numbers = store.key_numbers(rows)["cid"].tolist()
    hashes = [hashlib.blake2b(str(number).encode(), digest_size=8).digest() for number in numbers]
    return rows[sorted(range(len(rows)), key=hashes.__getitem__)]


def _needed(store: SequenceStore, chosen: np.ndarray, first: int) -> np.ndarray:
    """The chosen orders, and every order from a row on that has a customer or card of theirs.

    Where histories hold columns that are derived from the other key's orders, these are needed too.
    """
    later = np.arange(first, len(store))
    keys = store.key_numbers(later)
    needed = np.isin(later, chosen)
    for _ in range(2 if DerivedColumns.of(store.description).kept else 1):
        needed = np.any([needed, *(np.isin(each, each[needed]) for each in keys.values())], axis=0)
    return later[needed]


def _split(
    table: pa.Table, store: SequenceStore, rows: np.ndarray, first: int
) -> tuple[dict[int, dict[str, Any]], pa.Table]:
    """The raw orders of the stream by row number, and the table of all orders before a row."""
    d = store.description
    place = {id_bytes(name): row for row, name in enumerate(store.ids_of(np.arange(len(store))).tolist())}
    form = read_id_forms(table, d, [d.order_id])[d.order_id]
    names = cast_id(table[d.order_id], form, d.missing_words).values.to_pylist()
    number = np.array([-1 if name is None else place.get(id_bytes(name), -1) for name in names])
    streamed = np.isin(number, rows)
    orders = table.filter(pa.array(streamed)).to_pylist()
    plain = [{name: _plain(value) for name, value in order.items()} for order in orders]
    before = table.filter(pa.array((number >= 0) & (number < first)))
    return dict(zip(number[streamed].tolist(), plain, strict=True)), before


def _plain(value: Any) -> Any:
    """A value of a table as JSON holds it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return float(value) if type(value).__name__ == "Decimal" else value
