"""The history store in one folder on this machine: LMDB, one writer at a time, no server."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from tsa_model.online.history import Columns, Entry, Filling, HistoryError, StoreAway, Stream, Transaction
from tsa_model.online.transactions import MOST_DROPPED, BlockTransaction, Expected, prefix_of

MAP_BYTES = 2**38
"""Address space; the file grows as it is filled."""
META = b"columns"
_MOMENT = struct.Struct(">Q")
_NOTHING = nullcontext()
T = TypeVar("T")


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
        with self._env.begin(db=self.meta) as reading:
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
        self.folder, self._lock, self.is_near = path, threading.Lock(), not sync
        try:
            self._env = lmdb.open(str(path), map_size=MAP_BYTES, max_dbs=3, sync=sync, max_readers=512)
            self.meta, self.orders, self.blocks = (
                self._env.open_db(name) for name in (b"meta", b"orders", b"blocks")
            )
        except lmdb.Error as error:
            raise HistoryError(f"{path} cannot be opened as a history store: {error}") from error

    def _set_columns(self, columns: Columns) -> None:
        self._columns = columns
        with self._env.begin(write=True, db=self.meta) as writing:
            writing.put(META, _packed(columns))

    @property
    def columns(self) -> Columns:
        """See `HistoryStore`."""
        return self._columns

    def read(self, work: Callable[[Transaction], T]) -> T:
        """See `HistoryStore`."""
        try:
            transaction = self._env.begin()
        except lmdb.Error as error:
            raise StoreAway(f"the history store {self.folder} could not be read: {error}") from error
        with transaction:
            return work(LmdbTransaction(self, transaction))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See `HistoryStore`."""
        with self._lock:
            try:
                with self._env.begin(write=True) as written:
                    transaction = LmdbTransaction(self, written)
                    result = work(transaction)
            except (lmdb.Error, OSError) as error:
                raise self._unwritten(error) from error
            self._columns = transaction.columns
        return result

    @contextmanager
    def filling(self) -> Iterator[Filling]:
        """See `HistoryStore`."""
        with self._lock:
            try:
                with self._env.begin(write=True) as written:
                    yield LmdbTransaction(self, written)
            except (lmdb.Error, OSError) as error:
                raise self._unwritten(error) from error

    def _unwritten(self, error: Exception) -> StoreAway:
        return StoreAway(f"the history store {self.folder} could not be written: {error}")

    def at_once(self) -> AbstractContextManager[None]:
        """See `HistoryStore`; a near store never waits."""
        return _NOTHING

    def flush(self) -> None:
        """See `HistoryStore`."""
        self._env.sync(True)

    def counts(self) -> dict[str, int]:
        """See `HistoryStore`."""
        with self._env.begin() as reading:
            return {
                "orders": reading.stat(self.orders)["entries"],
                "blocks": reading.stat(self.blocks)["entries"],
            }

    def close(self) -> None:
        """See `HistoryStore`."""
        self._env.sync(True)
        self._env.close()


class LmdbTransaction(BlockTransaction):
    """See `Transaction`."""

    def __init__(self, store: LmdbStore, transaction: Any) -> None:
        super().__init__(store.columns)
        self._store, self._txn = store, transaction
        self._cursor = transaction.cursor(db=store.blocks)

    @property
    def columns(self) -> Columns:
        """See `Transaction`."""
        return self._columns

    def set_forms(self, is_whole: dict[str, bool]) -> None:
        """See `Transaction`."""
        self._columns = self._columns.changed(is_whole=is_whole)
        self._txn.put(META, _packed(self._columns), db=self._store.meta)

    def expect(self, orders: Iterable[Expected]) -> None:
        """See `Transaction`; nothing here is distant."""

    def entry(self, order: bytes) -> Entry | None:
        """See `Transaction`."""
        data = self._txn.get(order, db=self._store.orders)
        return None if data is None else Entry.unpacked(data)

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """See `Transaction`."""
        self._txn.put(order, entry.packed(), db=self._store.orders)

    def _delete_entry(self, order: bytes) -> None:
        self._txn.delete(order, db=self._store.orders)

    def _put(self, stream: Stream, key: bytes, since_us: int, block: bytes) -> None:
        self._txn.put(prefix_of(stream, key) + _MOMENT.pack(since_us), block, db=self._store.blocks)

    def _backwards(self, stream: Stream, key: bytes, moment_us: int) -> Iterator[tuple[int, bytes]]:
        while moment_us >= 0 and (found := self._last(stream, key, moment_us)) is not None:
            yield found
            moment_us = found[0] - 1

    def _last(self, stream: Stream, key: bytes, moment_us: int) -> tuple[int, bytes] | None:
        prefix, cursor = prefix_of(stream, key), self._cursor
        after = prefix + _MOMENT.pack(moment_us + 1)
        is_there = cursor.prev() if cursor.set_range(after) else cursor.last()
        if is_there and (place := cursor.key()).startswith(prefix):
            return _moment(place), cursor.value()
        return None

    def _oldest(self, stream: Stream, key: bytes) -> int | None:
        prefix, cursor = prefix_of(stream, key), self._cursor
        is_there = cursor.set_range(prefix) and cursor.key().startswith(prefix)
        return _moment(cursor.key()) if is_there else None

    def _is_newest(self, stream: Stream, key: bytes, since_us: int) -> bool:
        prefix, cursor = prefix_of(stream, key), self._cursor
        return not (cursor.set_range(prefix + _MOMENT.pack(since_us + 1)) and cursor.key().startswith(prefix))

    def _delete_before(self, stream: Stream, key: bytes, since_us: int) -> list[bytes]:
        prefix, cursor = prefix_of(stream, key), self._cursor
        deleted: list[bytes] = []
        is_there = cursor.set_range(prefix)
        while is_there and cursor.key().startswith(prefix) and _moment(cursor.key()) < since_us:
            if len(deleted) == MOST_DROPPED:
                break
            deleted.append(cursor.value())
            is_there = cursor.delete()
        return deleted


def _packed(columns: Columns) -> bytes:
    return json.dumps(columns.model_dump(mode="json")).encode()


def _moment(key: bytes) -> int:
    return _MOMENT.unpack(key[-_MOMENT.size :])[0]
