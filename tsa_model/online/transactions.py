"""What a transaction does with blocks, whatever keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from tsa_model.online.blocks import earlier, inserted, split, too_old, unpack
from tsa_model.online.history import KINDS, Columns, Entry, KeyKind
from tsa_model.online.records import Records

FOREVER = 2**62
"""A moment after all others, in microseconds."""
Expected = tuple[bytes, tuple[bytes, bytes]]
"""An order's name, and the keys of its customer and card; empty = none."""


class BlockTransaction(ABC):
    """`Transaction` over blocks; a store says how blocks and entries are found and written.

    Args:
        columns: what an order holds.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    @abstractmethod
    def entry(self, order: bytes) -> Entry | None:
        """See `Transaction`."""

    @abstractmethod
    def put_entry(self, order: bytes, entry: Entry) -> None:
        """See `Transaction`."""

    @abstractmethod
    def _delete_entry(self, order: bytes) -> None:
        """Forget an order."""

    @abstractmethod
    def _backwards(self, kind: KeyKind, key: bytes, moment_us: int) -> Iterator[tuple[int, bytes]]:
        """(its moment, its bytes) of the blocks that begin at or before a moment, the newest first."""

    @abstractmethod
    def _oldest(self, kind: KeyKind, key: bytes) -> int | None:
        """The moment of a key's first block; None = it has none."""

    @abstractmethod
    def _is_newest(self, kind: KeyKind, key: bytes, since_us: int) -> bool:
        """Whether no block of the key follows the one of this moment."""

    @abstractmethod
    def _put(self, kind: KeyKind, key: bytes, since_us: int, block: bytes) -> None:
        """Write a block."""

    @abstractmethod
    def _delete_before(self, kind: KeyKind, key: bytes, since_us: int) -> list[bytes]:
        """Delete a key's blocks before that of a moment; returns them."""

    @abstractmethod
    def expect(self, orders: Iterable[Expected]) -> None:
        """See `Transaction`."""

    def put_block(self, kind: KeyKind, key: bytes, since_us: int, block: Records) -> None:
        """See `Filling`."""
        self._put(kind, key, since_us, block.packed())

    def earlier(self, kind: KeyKind, key: bytes, before_us: int, latest: int, reach_us: int) -> Records:
        """See `Transaction`."""
        return earlier(self._held(kind, key, before_us), self._columns, before_us, latest, reach_us)

    def later(self, kind: KeyKind, key: bytes, after_us: int, until_us: int) -> Records:
        """See `Transaction`."""
        columns = self._columns
        parts = [Records.none(len(columns.categorical), columns.n_numbers)]
        for since_us, block in self._backwards(kind, key, until_us):
            part = unpack(block, columns)
            first, last = np.searchsorted(part.time_us, [after_us, until_us], side="right")
            parts.append(part.take(slice(int(first), int(last))))
            if since_us <= after_us:
                break
        return Records.joined(parts[::-1])

    def insert(self, kind: KeyKind, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        held = next(self._held(kind, key, int(record.time_us[0])), None)
        if held is None:
            self._put(kind, key, 0, record.packed())
            return
        since_us, data = held
        block = inserted(unpack(data, self._columns), record)
        if (cut := split(block, self._is_newest(kind, key, since_us))) is None:
            self._put(kind, key, since_us, block.packed())
            return
        newer = block.take(slice(cut, len(block)))
        self._put(kind, key, since_us, block.take(slice(0, cut)).packed())
        self._put(kind, key, int(newer.time_us[0]), newer.packed())
        self._drop(kind, key)

    def replace(self, kind: KeyKind, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        time_us = int(record.time_us[0])
        held = next(self._backwards(kind, key, time_us), None)
        if held is None:
            return
        block = unpack(held[1], self._columns)
        place = block.place(time_us, record.order_id[0])
        if place is not None:
            parts = [block.take(slice(0, place)), record, block.take(slice(place + 1, len(block)))]
            self._put(kind, key, held[0], Records.joined(parts).packed())

    def _held(self, kind: KeyKind, key: bytes, moment_us: int) -> Iterator[tuple[int, bytes]]:
        """Blocks backwards from a moment.

        Raises:
            TooOld: those of that time were dropped.
        """
        is_held = False
        for found in self._backwards(kind, key, moment_us):
            is_held = True
            yield found
        if not is_held and (oldest_us := self._oldest(kind, key)) is not None:
            raise too_old(moment_us, oldest_us)

    def _drop(self, kind: KeyKind, key: bytes) -> None:
        """Drop the key's oldest blocks that no order to come needs."""
        columns = self._columns
        newest_us: int | None = None
        n_settled = needless = 0
        for since_us, data in self._backwards(kind, key, FOREVER):
            block = unpack(data, columns)
            newest_us = int(block.time_us[-1]) if newest_us is None else newest_us
            settled_us = newest_us - columns.late_us
            n_settled += int(np.searchsorted(block.time_us, settled_us))
            if n_settled >= columns.latest and since_us <= settled_us - columns.reach_us:
                needless = since_us
                break
        for data in self._delete_before(kind, key, needless) if needless else ():
            self._forget(kind, unpack(data, columns))

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
                self._delete_entry(name)


def prefix_of(kind: KeyKind, key: bytes) -> bytes:
    """What the names of a key's blocks begin with; none begins with another's."""
    return bytes([KINDS.index(kind), len(key)]) + key
