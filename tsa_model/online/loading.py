"""An event log → a history store, with the columns that the batch derives from it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.ids import read_id_forms
from tsa_model.events.units import NO_KEY, UNKNOWN_LABEL
from tsa_model.online.blocks import MOST, Block
from tsa_model.online.derived import DerivedColumns
from tsa_model.online.history import KINDS, LABELS, Columns, Entry, Filling, HistoryStore, KeyKind, Stream
from tsa_model.online.labels import labels_of
from tsa_model.online.orders import content_digest
from tsa_model.online.records import NO_CATEGORY, Records, hash_text, id_bytes
from tsa_model.online.redis_link import is_redis
from tsa_model.online.requirements import LATE_DAYS, columns_of
from tsa_model.online.stores import check_free, made
from tsa_model.online.totals import totals_of
from tsa_model.scratch import scratch_folder
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import Orders, Prepared
from tsa_model.sequences.sorting.event_log import derive
from tsa_model.sequences.sorting.ingest import ingest
from tsa_model.settings.dataset import DatasetDescription

Progress = Callable[[int, int], None]
Placed = tuple[Stream, bytes, int, Block]
"""A block, and where it lies: its stream, its key and its moment."""
PART = 50_000
"""Orders written in one transaction."""


def load_history(
    events: Any,
    description: DatasetDescription,
    place: str | Path,
    late_days: float = LATE_DAYS,
    show: Progress | None = None,
) -> dict[str, int]:
    """Make a history store of raw orders.

    Args:
        events: path or paths of raw orders, or a table; see `SequenceStore.build`. Their labels count from
            their `label_time` on, or from the order's time + `label_delay_days` where there is none.
        description: the columns' roles, as the model folder has them.
        place: a folder that does not exist yet, or is empty; or an address of Redis (redis://host:6379/0).
        late_days: how much later than a younger order of its customer or card an order may come.
        show: called with (orders done, orders altogether).

    Returns:
        `orders` that were read, those `kept`, and `blocks`.

    Raises:
        HistoryError: there is a store already.
        StoreAway: Redis does not answer.
        BadEvents: the events cannot be used.
    """
    check_free(place)
    columns = columns_of(description, late_days)
    beside = Path(tempfile.gettempdir()) / "tsa-history" if is_redis(place) else Path(place)
    with scratch_folder(beside) as work:
        files = ColumnFiles(work / "columns")
        ingested = ingest(
            events, description, files, work / "engine", work / "quarantine.csv", with_key_values=True
        )
        prepared = derive(ingested, description, files)
        forms = read_id_forms(events, description)
        if not len(ingested.key_values.get("ccid", ())) and description.card_id is not None:
            del forms[description.card_id]  # no order has a card, so none says how one is read
        reach_us = max(columns.reach_us, _label_reach_us(prepared.orders, description))
        is_whole = {name: form.is_whole for name, form in forms.items()}
        columns = columns.changed(is_whole=is_whole, reach_us=reach_us)
        loader = _Loader(prepared, ingested.keys, ingested.key_values, columns)
        with made(place, columns) as store:
            n_kept, n_blocks = loader.write(store, show)
    return {"orders": len(prepared.orders), "kept": n_kept, "blocks": n_blocks}


def make_empty(description: DatasetDescription, place: str | Path, late_days: float = LATE_DAYS) -> None:
    """Make a store without orders; see `load_history`."""
    with made(place, columns_of(description, late_days)):
        pass


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

    def write(self, store: HistoryStore, show: Progress | None) -> tuple[int, int]:
        """Write every key's blocks, then what is known of each order by its id; returns how many of each.

        The orders are those that some history keeps.
        """
        n_steps = (len(self._keys) + 1) * len(self._records)
        done = n_blocks = 0
        for place, kind in enumerate(self._keys):
            for part in _batches(self._blocks(kind, 1 << place), PART):
                with store.filling() as transaction:
                    n_blocks += len(part)
                    for placed in part:
                        transaction.put_block(*placed)
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
        return len(rows), n_blocks

    def _blocks(self, kind: KeyKind, bit: int) -> Iterator[Placed]:
        """What is kept of each key, cut into blocks, in about the store's own sequence."""
        places = self._prepared.keyed[kind].places["rows"]
        number = self._keys[kind][places]
        has_key = np.flatnonzero(number != NO_KEY)
        places, number = places[has_key], number[has_key]
        begins = np.flatnonzero(np.diff(number, prepend=-2))
        ends = np.append(begins[1:], len(number))
        names = self._key_bytes[kind]
        by_name = sorted(range(len(begins)), key=lambda each: names[number[begins[each]]])
        totals = totals_of(self._records, self._columns.layouts[kind])
        for each in by_name:
            key, rows = names[number[begins[each]]], places[begins[each] : ends[each]]
            since_us, first = self._needed(rows)
            self._kept[rows[first:]] |= bit
            held = self._records.take(rows)
            yield from self._cut(kind, key, held, totals[rows], since_us, first)
            if kind in self._columns.labelled:
                yield from self._labels(kind, key, held)

    def _needed(self, rows: np.ndarray) -> tuple[int, int]:
        """From when on a key's orders are kept, 0 = always; and the first of them."""
        columns, time_us = self._columns, self._records.time_us[rows]
        settled_us = int(time_us[-1]) - columns.late_us
        first = int(np.searchsorted(time_us, settled_us)) - columns.latest
        if first <= 0:
            return 0, 0
        since_us = min(int(time_us[first]), settled_us - columns.reach_us)
        first = int(np.searchsorted(time_us, since_us))  # orders of one moment stay together
        return (since_us, first) if first else (0, 0)

    def _labels(self, kind: KeyKind, key: bytes, held: Records) -> Iterator[Placed]:
        """The known labels of a key's orders, from as far back as windows look."""
        columns = self._columns
        oldest_us = int(held.time_us[-1]) - columns.late_us - columns.reach_us
        held = held.take(np.flatnonzero(held.label != UNKNOWN_LABEL))
        labels, stream = labels_of(held, columns), LABELS[kind]
        first = int(np.searchsorted(labels.time_us, oldest_us))
        totals = totals_of(labels, columns.layouts[stream])
        yield from self._cut(stream, key, labels, totals, max(0, oldest_us) if first else 0, first)

    def _cut(
        self, stream: Stream, key: bytes, held: Records, totals: np.ndarray, since_us: int, first: int
    ) -> Iterator[Placed]:
        """Blocks of what a key holds from a place on.

        Args:
            stream: what it is.
            key: the key.
            held: [N] all of it.
            totals: [N, T] what each adds to the totals.
            since_us: the moment of the first block.
            first: the place.
        """
        before, layout = totals[:first].sum(axis=0), self._columns.layouts[stream]
        while first < len(held):
            last = first + _length(held.time_us[first:])
            yield stream, key, since_us, Block(before, (held.take(slice(first, last)),), layout)
            before = before + totals[first:last].sum(axis=0)
            first = last
            since_us = int(held.time_us[first]) if first < len(held) else 0

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


def _label_reach_us(orders: Orders, description: DatasetDescription) -> int:
    """How far back orders are kept so that windows count labels that come as late as those of a log did."""
    longest = DerivedColumns.of(description).longest_label_window_us()
    known = np.flatnonzero(orders.label != UNKNOWN_LABEL)
    if orders.known_us is None or not longest or not len(known):
        return 0
    return longest + int((orders.known_us[known] - orders.time_us[known]).max())


def _length(time_us: np.ndarray) -> int:
    """How many of a key's orders make its next block; those of one moment stay together."""
    if len(time_us) <= MOST:
        return len(time_us)
    cut = int(np.searchsorted(time_us, time_us[MOST]))
    return cut or int(np.searchsorted(time_us, time_us[0], side="right"))


def _records(orders: Orders, columns: Columns) -> Records:
    """Columns of a log as records."""
    categories = np.empty((len(orders), len(columns.categorical)), np.uint64)
    for place, name in enumerate(columns.categorical):
        codes = orders.categorical[name]
        hashes = np.array(
            [*(hash_text(text, columns.fold_text) for text in codes.values), NO_CATEGORY], np.uint64
        )
        categories[:, place] = hashes[codes.code]
    numbers = np.empty((len(orders), columns.n_numbers))
    for place, name in enumerate((*columns.numerical, *columns.derived)):
        numbers[:, place] = orders.numerical[name]
    return Records(
        time_us=np.asarray(orders.time_us),
        known_us=orders.time_us + columns.label_delay_us if orders.known_us is None else orders.known_us,
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
        n_orders += len(item[-1].records)
        if n_orders >= n:
            yield part
            part, n_orders = [], 0
    if part:
        yield part
