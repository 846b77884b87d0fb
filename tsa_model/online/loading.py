"""An event log → a history store, with the columns that the batch derives from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.ids import read_id_forms
from tsa_model.events.units import NO_KEY
from tsa_model.files import atomic_folder
from tsa_model.online.blocks import MOST
from tsa_model.online.history import KINDS, Columns, Entry, Filling, HistoryError, KeyKind
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.orders import content_digest
from tsa_model.online.records import NO_CATEGORY, Records, hash_text, id_bytes
from tsa_model.online.requirements import LATE_DAYS, columns_of
from tsa_model.scratch import scratch_folder
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import Orders, Prepared
from tsa_model.sequences.sorting.event_log import derive
from tsa_model.sequences.sorting.ingest import ingest
from tsa_model.settings.dataset import DatasetDescription

Progress = Callable[[int, int], None]
PART = 50_000
"""Orders written in one transaction."""


def load_history(
    events: Any,
    description: DatasetDescription,
    store_dir: str | Path,
    late_days: float = LATE_DAYS,
    show: Progress | None = None,
) -> dict[str, int]:
    """Make a history store of raw orders.

    Args:
        events: path or paths of raw orders, or a table; see `SequenceStore.build`. Their labels count from
            the order's time + `label_delay_days` on.
        description: the columns' roles, as the model folder has them.
        store_dir: a folder that does not exist yet, or is empty.
        late_days: how much later than a younger order of its customer or card an order may come.
        show: called with (orders done, orders altogether).

    Returns:
        `orders` that were read, those `kept`, and `blocks`.

    Raises:
        HistoryError: there is a store already.
        BadEvents: the events cannot be used.
    """
    folder = Path(store_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HistoryError(
            f"{folder} exists already, and its orders would be lost: give a new folder, or remove that one"
        )
    columns = columns_of(description, late_days)
    with scratch_folder(folder) as work, atomic_folder(folder) as made:
        files = ColumnFiles(work / "columns")
        ingested = ingest(
            events, description, files, work / "engine", work / "quarantine.csv", with_key_values=True
        )
        prepared = derive(ingested, description, files)
        forms = read_id_forms(events, description)
        if not len(ingested.key_values.get("ccid", ())) and description.card_id is not None:
            del forms[description.card_id]  # no order has a card, so none says how one is read
        columns = columns.changed(is_whole={name: form.is_whole for name, form in forms.items()})
        loader = _Loader(prepared, ingested.keys, ingested.key_values, columns)
        store = LmdbStore.create(made, columns)
        try:
            loader.write(store, show)
            return {"orders": len(prepared.orders), "kept": store.counts()["orders"]} | {
                "blocks": store.counts()["blocks"]
            }
        finally:
            store.close()


class _Loader:
    """A prepared log as records."""

    def __init__(
        self,
        prepared: Prepared,
        keys: dict[str, np.ndarray],
        key_values: dict[str, pa.Array],
        columns: Columns,
    ) -> None:
        self._columns, self._prepared = columns, prepared
        self._keys = {kind: keys[kind] for kind in KINDS if kind in keys}
        self._key_bytes = {kind: [id_bytes(v) for v in key_values[kind].to_pylist()] for kind in self._keys}
        self._records = _records(prepared.orders, columns)
        self._kept = np.zeros(len(self._records), np.uint8)

    def write(self, store: LmdbStore, show: Progress | None) -> None:
        """Write every key's blocks, then what is known of each order by its id."""
        n_steps = (len(self._keys) + 1) * len(self._records)
        done = 0
        for place, kind in enumerate(self._keys):
            for part in _batches(self._blocks(kind, 1 << place), PART):
                with store.filling() as transaction:
                    for key, since_us, block in part:
                        transaction.put_block(kind, key, since_us, block)
                if show is not None:
                    show(done + int(np.count_nonzero(self._kept & (1 << place))), n_steps)
            done += len(self._records)
        rows = np.flatnonzero(self._kept)
        for first in range(0, len(rows), PART):
            with store.filling() as transaction:
                self._write_entries(transaction, rows[first : first + PART])
            if show is not None:
                show(done + first, n_steps)
        if show is not None:
            show(n_steps, n_steps)

    def _blocks(self, kind: KeyKind, bit: int) -> Iterator[tuple[bytes, int, Records]]:
        """What is kept of each key, cut into blocks, in the store's own sequence."""
        places = self._prepared.keyed[kind].places["rows"]
        number = self._keys[kind][places]
        has_key = np.flatnonzero(number != NO_KEY)
        places, number = places[has_key], number[has_key]
        begins = np.flatnonzero(np.diff(number, prepend=-2))
        ends = np.append(begins[1:], len(number))
        names = self._key_bytes[kind]
        by_name = sorted(range(len(begins)), key=lambda each: names[number[begins[each]]])
        for each in by_name:
            rows = places[begins[each] : ends[each]]
            since_us, first = self._needed(rows)
            rows = rows[first:]
            self._kept[rows] |= bit
            key = names[number[begins[each]]]
            while len(rows):
                cut = self._cut(rows)
                yield key, since_us, self._records.take(rows[:cut])
                rows = rows[cut:]
                since_us = int(self._records.time_us[rows[0]]) if len(rows) else 0

    def _needed(self, rows: np.ndarray) -> tuple[int, int]:
        """From when on a key's orders are kept, 0 = always; and the first of them."""
        columns, time_us = self._columns, self._records.time_us[rows]
        settled_us = int(time_us[-1]) - columns.late_us
        first = int(np.searchsorted(time_us, settled_us)) - columns.latest
        if first <= 0:
            return 0, 0
        first = min(first, int(np.searchsorted(time_us, settled_us - columns.reach_us)))
        since_us = int(time_us[first])
        first = int(np.searchsorted(time_us, since_us))  # orders of one moment stay together
        return (since_us, first) if first else (0, 0)

    def _cut(self, rows: np.ndarray) -> int:
        """How many of a key's orders make its next block."""
        if len(rows) <= MOST:
            return len(rows)
        time_us = self._records.time_us
        cut = int(np.searchsorted(time_us[rows], time_us[rows[MOST]]))
        return cut or int(np.searchsorted(time_us[rows], time_us[rows[0]], side="right"))

    def _write_entries(self, transaction: Filling, rows: np.ndarray) -> None:
        records, n_raw = self._records.take(rows), len(self._columns.numerical)
        keys = [
            [b"" if number == NO_KEY else self._key_bytes[kind][number] for number in numbers[rows].tolist()]
            for kind, numbers in self._keys.items()
        ]
        keys += [[b""] * len(rows)] * (len(KINDS) - len(keys))
        raw = np.ascontiguousarray(records.numbers[:, :n_raw])
        kept = self._kept[rows].tolist()
        for row, time_us in enumerate(records.time_us.tolist()):
            both = (keys[0][row], keys[1][row])
            content = content_digest(time_us, both, records.categories[row].tobytes(), raw[row].tobytes())
            transaction.put_entry(records.name(row), Entry(time_us, both, content, kept[row]))


def _records(orders: Orders, columns: Columns) -> Records:
    """Columns of a log as records."""
    categories = np.empty((len(orders), len(columns.categorical)), np.uint64)
    for place, name in enumerate(columns.categorical):
        codes = orders.categorical[name]
        hashes = np.array([*map(hash_text, codes.values), NO_CATEGORY], np.uint64)
        categories[:, place] = hashes[codes.code]
    numbers = np.empty((len(orders), columns.n_numbers))
    for place, name in enumerate((*columns.numerical, *columns.derived)):
        numbers[:, place] = orders.numerical[name]
    return Records(
        time_us=np.asarray(orders.time_us),
        known_us=orders.time_us + columns.label_delay_us,
        label=np.asarray(orders.label),
        categories=categories,
        numbers=numbers,
        order_id=np.asarray(orders.order_id),
    )


def _batches(items: Iterator[Any], n: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    n_orders = 0
    for item in items:
        part.append(item)
        n_orders += len(item[-1])
        if n_orders >= n:
            yield part
            part, n_orders = [], 0
    if part:
        yield part
