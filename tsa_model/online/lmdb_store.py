"""The history store in one folder on this machine: LMDB, one writer at a time, no server."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from tsa_model.online.blocks import earlier, inserted, split, too_old, unpack
from tsa_model.online.history import KINDS, Columns, Entry, HistoryError, KeyKind, StoreAway
from tsa_model.online.records import Records

MAP_BYTES = 2**38
"""Address space; the file grows as it is filled."""
META = b"columns"
_MOMENT = struct.Struct(">Q")


class LmdbStore:
    """Blocks and entries in LMDB.

    A written transaction survives the end of this process, however it ends. With `sync` it is on the disk
    before the transaction ends, and survives a failure of the machine too.
    """

    def __init__(self, folder: str | Path, sync: bool = False) -> None:
        """Open a store.

        Raises:
            HistoryError: there is none, or it is of another format.
        """
        path = Path(folder)
        if not (path / "data.mdb").is_file():
            raise HistoryError(f"{path} is no history store: make one with `tsa online load`")
        self._open(path, sync)
        with self._env.begin(db=self._meta) as reading:
            text = reading.get(META)
        if text is None:
            raise HistoryError(
                f"{path} holds no history store, or one that was never finished: load it again"
            )
        self._columns = Columns.model_validate_json(text)

    @classmethod
    def create(cls, folder: str | Path, columns: Columns, sync: bool = False) -> LmdbStore:
        """Make an empty store.

        Raises:
            HistoryError: there is something already.
        """
        path = Path(folder)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise HistoryError(f"{path} exists already: give a new folder, or remove that one first")
        path.mkdir(parents=True, exist_ok=True)
        store = cls.__new__(cls)
        store._open(path, sync)
        store._set_columns(columns)
        return store

    def _open(self, path: Path, sync: bool) -> None:
        self.folder = path
        try:
            self._env = lmdb.open(str(path), map_size=MAP_BYTES, max_dbs=3, sync=sync, max_readers=512)
            self._meta, self._orders, self._blocks = (
                self._env.open_db(name) for name in (b"meta", b"orders", b"blocks")
            )
        except lmdb.Error as error:
            raise HistoryError(f"{path} cannot be opened as a history store: {error}") from error

    def _set_columns(self, columns: Columns) -> None:
        with self._env.begin(write=True, db=self._meta) as writing:
            writing.put(META, json.dumps(columns.model_dump(mode="json")).encode())
        self._columns = columns

    @property
    def columns(self) -> Columns:
        """See `HistoryStore`."""
        return self._columns

    def set_forms(self, is_whole: dict[str, bool]) -> None:
        """See `HistoryStore`."""
        self._set_columns(self._columns.changed(is_whole=is_whole))

    @contextmanager
    def reading(self) -> Iterator[LmdbTransaction]:
        """See `HistoryStore`."""
        try:
            transaction = self._env.begin()
        except lmdb.Error as error:
            raise StoreAway(f"the history store {self.folder} could not be read: {error}") from error
        with transaction:
            yield LmdbTransaction(transaction, self._orders, self._blocks, self._columns)

    @contextmanager
    def writing(self) -> Iterator[LmdbTransaction]:
        """See `HistoryStore`."""
        try:
            with self._env.begin(write=True) as transaction:
                yield LmdbTransaction(transaction, self._orders, self._blocks, self._columns)
        except (lmdb.Error, OSError) as error:
            raise StoreAway(f"the history store {self.folder} could not be written: {error}") from error

    def flush(self) -> None:
        """See `HistoryStore`."""
        self._env.sync(True)

    def counts(self) -> dict[str, int]:
        """See `HistoryStore`."""
        with self._env.begin() as reading:
            return {
                "orders": reading.stat(self._orders)["entries"],
                "blocks": reading.stat(self._blocks)["entries"],
            }

    def close(self) -> None:
        """See `HistoryStore`."""
        self._env.sync(True)
        self._env.close()


class LmdbTransaction:
    """See `Transaction`."""

    def __init__(self, transaction: Any, orders: Any, blocks: Any, columns: Columns) -> None:
        self._txn, self._orders, self._blocks = transaction, orders, blocks
        self._columns = columns

    def entry(self, order: bytes) -> Entry | None:
        """See `Transaction`."""
        data = self._txn.get(order, db=self._orders)
        return None if data is None else Entry.unpacked(data)

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """See `Transaction`."""
        self._txn.put(order, entry.packed(), db=self._orders)

    def put_block(self, kind: KeyKind, key: bytes, since_us: int, block: Records) -> None:
        """Write a block as it is; for loading."""
        self._txn.put(_prefix(kind, key) + _MOMENT.pack(since_us), block.packed(), db=self._blocks)

    def earlier(self, kind: KeyKind, key: bytes, before_us: int, latest: int, reach_us: int) -> Records:
        """See `Transaction`."""
        blocks = self._backwards(_prefix(kind, key), before_us)
        return earlier(blocks, self._columns, before_us, latest, reach_us)

    def later(self, kind: KeyKind, key: bytes, after_us: int, until_us: int) -> Records:
        """See `Transaction`."""
        prefix, columns = _prefix(kind, key), self._columns
        parts = [Records.none(len(columns.categorical), columns.n_numbers)]
        for since_us, block in self._backwards(prefix, until_us, or_first=False):
            part = unpack(block, columns)
            first, last = np.searchsorted(part.time_us, [after_us, until_us], side="right")
            parts.append(part.take(slice(int(first), int(last))))
            if since_us <= after_us:
                break
        return Records.joined(parts[::-1])

    def insert(self, kind: KeyKind, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        prefix, time_us = _prefix(kind, key), int(record.time_us[0])
        cursor = self._txn.cursor(db=self._blocks)
        if not self._to_block(cursor, prefix, time_us):
            self._txn.put(prefix + _MOMENT.pack(0), record.packed(), db=self._blocks)
            return
        place = cursor.key()
        block = inserted(unpack(cursor.value(), self._columns), record)
        is_last = not (cursor.next() and cursor.key().startswith(prefix))
        if (cut := split(block, is_last)) is None:
            self._txn.put(place, block.packed(), db=self._blocks)
            return
        newer = block.take(slice(cut, len(block)))
        self._txn.put(place, block.take(slice(0, cut)).packed(), db=self._blocks)
        self._txn.put(prefix + _MOMENT.pack(int(newer.time_us[0])), newer.packed(), db=self._blocks)
        self._drop(kind, prefix)

    def replace(self, kind: KeyKind, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        prefix, time_us = _prefix(kind, key), int(record.time_us[0])
        cursor = self._txn.cursor(db=self._blocks)
        if not self._to_block(cursor, prefix, time_us, or_first=False):
            return
        block = unpack(cursor.value(), self._columns)
        place = block.place(time_us, record.order_id[0])
        if place is not None:
            parts = [block.take(slice(0, place)), record, block.take(slice(place + 1, len(block)))]
            self._txn.put(cursor.key(), Records.joined(parts).packed(), db=self._blocks)

    def _to_block(self, cursor: Any, prefix: bytes, moment_us: int, or_first: bool = True) -> bool:
        """Move to the block that holds a moment; False = the key has no blocks.

        Raises:
            TooOld: the blocks of that time were dropped, unless `or_first` is False.
        """
        if cursor.set_range(prefix + _MOMENT.pack(moment_us + 1)):
            is_there = cursor.prev()
        else:
            is_there = cursor.last()
        if is_there and cursor.key().startswith(prefix):
            return True
        if cursor.set_range(prefix) and cursor.key().startswith(prefix) and or_first:
            raise too_old(moment_us, _moment(cursor.key()))
        return False

    def _backwards(self, prefix: bytes, moment_us: int, or_first: bool = True) -> Iterator[tuple[int, bytes]]:
        cursor = self._txn.cursor(db=self._blocks)
        is_there = self._to_block(cursor, prefix, moment_us, or_first)
        while is_there and (key := cursor.key()).startswith(prefix):
            yield _moment(key), cursor.value()
            is_there = cursor.prev()

    def _drop(self, kind: KeyKind, prefix: bytes) -> None:
        """Drop the key's oldest blocks that no order to come needs."""
        columns = self._columns
        newest_us: int | None = None
        n_settled, cursor = 0, self._txn.cursor(db=self._blocks)
        needless = None
        for since_us, data in self._backwards(prefix, 2**62):
            block = unpack(data, columns)
            newest_us = int(block.time_us[-1]) if newest_us is None else newest_us
            settled_us = newest_us - columns.late_us
            n_settled += int(np.searchsorted(block.time_us, settled_us))
            if n_settled >= columns.latest and since_us <= settled_us - columns.reach_us:
                needless = since_us
                break
        if not needless:
            return
        is_there = cursor.set_range(prefix)
        while is_there and cursor.key().startswith(prefix) and _moment(cursor.key()) < needless:
            self._forget(kind, unpack(cursor.value(), columns))
            is_there = cursor.delete()

    def _forget(self, kind: KeyKind, block: Records) -> None:
        """Orders that no history holds any more are unknown from now on."""
        for name in map(block.name, range(len(block))):
            entry = self.entry(name)
            if entry is None:
                continue
            kept = entry.kept & ~(1 << KINDS.index(kind))
            if kept:
                self.put_entry(name, entry.still_kept(kept))
            else:
                self._txn.delete(name, db=self._orders)


def _prefix(kind: KeyKind, key: bytes) -> bytes:
    return bytes([KINDS.index(kind), len(key)]) + key


def _moment(key: bytes) -> int:
    return _MOMENT.unpack(key[-_MOMENT.size :])[0]
