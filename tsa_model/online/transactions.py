"""What a transaction does with blocks, whatever keeps them."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tsa_model.online.blocks import Block, earlier, too_old
from tsa_model.online.history import (
    KINDS,
    LABELS,
    LATE_LABELS,
    STREAMS,
    Columns,
    Entry,
    KeyKind,
    PackedBlock,
    Stream,
)
from tsa_model.online.records import Records, no_records
from tsa_model.online.totals import totals_of

FOREVER = 2**62
"""A moment after all others, in microseconds."""
MOST_DROPPED = 4
"""Blocks of a stream that are dropped whenever one is divided: the rest of many waits for the next times."""
Expected = tuple[bytes, tuple[bytes, bytes]]
"""An order's name, and the keys of its customer and card; empty = none."""


class BlockTransaction(ABC):
    """`Transaction` over blocks; a store says how blocks and entries are found and written.

    Args:
        columns: what an order holds.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._seen: dict[tuple[Stream, bytes, int], Block] = {}
        """Blocks that were read: windows of several lengths often end in the same one."""
        self._latest: dict[tuple[Stream, bytes], tuple[int, int, Block]] = {}
        """Of each stream that was read, the latest block: its moment, until when none follows, itself."""

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
    def _backwards(self, stream: Stream, key: bytes, moment_us: int) -> Iterator[tuple[int, bytes]]:
        """(its moment, its bytes) of the blocks that begin at or before a moment, the newest first."""

    @abstractmethod
    def _last(self, stream: Stream, key: bytes, moment_us: int) -> tuple[int, bytes] | None:
        """The first one of `_backwards`; None = there is none."""

    @abstractmethod
    def _oldest(self, stream: Stream, key: bytes) -> int | None:
        """The moment of a key's first block; None = it has none."""

    @abstractmethod
    def _is_newest(self, stream: Stream, key: bytes, since_us: int) -> bool:
        """Whether no block of the key follows the one of this moment."""

    @abstractmethod
    def _put(self, stream: Stream, key: bytes, since_us: int, block: bytes) -> None:
        """Write a block."""

    @abstractmethod
    def _delete_before(self, stream: Stream, key: bytes, since_us: int) -> list[bytes]:
        """Delete the oldest `MOST_DROPPED` of a key's blocks before that of a moment; returns them."""

    @abstractmethod
    def expect(self, orders: Iterable[Expected]) -> None:
        """See `Transaction`."""

    def put_block(self, stream: Stream, key: bytes, since_us: int, block: PackedBlock) -> None:
        """See `Filling`."""
        self._seen.pop((stream, key, since_us), None)
        self._latest.pop((stream, key), None)
        self._put(stream, key, since_us, block.packed())

    def earlier(self, kind: KeyKind, key: bytes, before_us: int, latest: int) -> Records:
        """See `Transaction`."""
        return earlier(self._held(kind, key, before_us), self._columns.layouts[kind], before_us, latest)

    def totals(self, stream: Stream, key: bytes, before_us: np.ndarray) -> np.ndarray:
        """See `Transaction`."""
        width = self._columns.layouts[stream].width
        return self._before(stream, key, before_us, Block.totals, (len(before_us), width))

    def counts(self, stream: Stream, key: bytes, before_us: np.ndarray) -> np.ndarray:
        """See `Transaction`."""
        return self._before(stream, key, before_us, Block.counts, (len(before_us),))

    def _before(
        self,
        stream: Stream,
        key: bytes,
        before_us: np.ndarray,
        told: Callable[[Block, np.ndarray], np.ndarray],
        shape: tuple[int, ...],
    ) -> np.ndarray:
        """What the blocks tell of some moments, each of those that lie in it; zeros before the first."""
        listed = before_us.tolist()
        held = self._at(stream, key, max(0, *listed))
        if held is not None and held[0] <= min(listed):
            return told(held[1], before_us)
        found = np.zeros(shape, np.int64)
        moments = np.maximum(before_us, 0)
        left = np.arange(len(moments))
        while held is not None:
            since_us, block = held
            is_here = moments[left] >= since_us
            found[left[is_here]] = told(block, moments[left[is_here]])
            left = left[~is_here]
            held = self._at(stream, key, int(moments[left].max())) if len(left) else None
        return found

    def later(self, stream: Stream, key: bytes, after_us: int, until_us: int) -> Records:
        """See `Transaction`."""
        layout = self._columns.layouts[stream]
        parts = [no_records(layout.n_categories, layout.n_numbers)]
        if self._last(stream, key, until_us) is None:
            return parts[0]
        for since_us, block in self._held(stream, key, until_us, must_be_whole=False):
            held = block.records
            first, last = held.time_us.searchsorted([after_us, until_us], side="right").tolist()
            parts.append(held.take(slice(first, last)))
            if since_us <= after_us:
                break
        return Records.joined(parts[::-1])

    def insert(self, stream: Stream, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        layout = self._columns.layouts[stream]
        held = self._at(stream, key, int(record.time_us[0]), must_be_whole=not layout.of_labels)
        if held is None:
            if not layout.of_labels or self._oldest(stream, key) is None:
                self.put_block(stream, key, 0, Block.first(record, layout))
            return
        since_us, block = held[0], held[1].inserted(record)
        is_newest = self._is_newest(stream, key, since_us)
        if not is_newest:
            self._add_to_later(stream, key, since_us, totals_of(record, layout)[0])
        if (parts := block.cut(is_newest)) is None:
            self.put_block(stream, key, since_us, block)
            return
        self.put_block(stream, key, since_us, parts[0])
        self.put_block(stream, key, int(parts[1].records.time_us[0]), parts[1])
        if stream in KINDS:
            self._drop(stream, key)  # type: ignore[arg-type]

    def replace(self, stream: Stream, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        if (found := self._place(stream, key, record)) is not None:
            since_us, block, place = found
            self.put_block(stream, key, since_us, block.put(place, record))

    def remove(self, stream: Stream, key: bytes, record: Records) -> None:
        """See `Transaction`."""
        if (found := self._place(stream, key, record)) is not None:
            since_us, block, place = found
            summand = block.running[place] - block.running[place + 1]
            self.put_block(stream, key, since_us, block.put(place, None))
            if not self._is_newest(stream, key, since_us):
                self._add_to_later(stream, key, since_us, summand)

    def _held(
        self, stream: Stream, key: bytes, moment_us: int, must_be_whole: bool = True
    ) -> Iterator[tuple[int, Block]]:
        """Blocks backwards from a moment.

        Raises:
            TooOld: those of that time were dropped, unless `must_be_whole` is False.
        """
        if (newest := self._at(stream, key, moment_us, must_be_whole)) is None:
            return
        yield newest
        for since_us, data in self._backwards(stream, key, newest[0] - 1):
            yield since_us, self._unpacked(stream, key, since_us, data)

    def _at(
        self, stream: Stream, key: bytes, moment_us: int, must_be_whole: bool = True
    ) -> tuple[int, Block] | None:
        """The first one of `_held`; None = there is none."""
        latest = self._latest.get((stream, key))
        if latest is not None and latest[0] <= moment_us <= latest[1]:
            return latest[0], latest[2]
        if (found := self._last(stream, key, moment_us)) is not None:
            block = self._unpacked(stream, key, *found)
            if latest is None or latest[1] < moment_us:
                self._latest[stream, key] = found[0], moment_us, block
            return found[0], block
        if must_be_whole and (oldest_us := self._oldest(stream, key)) is not None:
            raise too_old(moment_us, oldest_us)
        return None

    def _unpacked(self, stream: Stream, key: bytes, since_us: int, data: bytes) -> Block:
        place = (stream, key, since_us)
        if (block := self._seen.get(place)) is None:
            self._seen[place] = block = Block.unpacked(data, self._columns.layouts[stream])
        return block

    def _place(self, stream: Stream, key: bytes, record: Records) -> tuple[int, Block, int] | None:
        time_us = int(record.time_us[0])
        held = self._at(stream, key, time_us, must_be_whole=False)
        if held is None:
            return None
        place = held[1].records.place(time_us, record.order_id[0])
        return None if place is None else (*held, place)

    def _add_to_later(self, stream: Stream, key: bytes, since_us: int, summand: np.ndarray) -> None:
        """Add to the totals of all blocks that follow."""
        held = self._held(stream, key, FOREVER)
        later = list(itertools.takewhile(lambda found: found[0] > since_us, held))
        for later_us, block in later:
            self.put_block(stream, key, later_us, block.after(summand))

    def _drop(self, kind: KeyKind, key: bytes) -> None:
        """Drop the key's oldest blocks, of orders and labels, that no order to come needs."""
        columns = self._columns
        _, newest = next(self._held(kind, key, FOREVER))
        settled_us = int(newest.records.time_us[-1]) - columns.late_us
        oldest_us = settled_us - columns.reach_us
        n_settled, needed_us = 0, None
        for since_us, block in self._held(kind, key, settled_us, must_be_whole=False):
            n_settled += int(np.searchsorted(block.records.time_us, settled_us))
            if n_settled >= columns.latest:
                needed_us = since_us
                break
        if needed_us is None or oldest_us <= 0:
            return
        for stream in (LABELS[kind], LATE_LABELS[kind]):
            self._drop_before(stream, key, oldest_us)
        for block in self._drop_before(kind, key, min(needed_us, oldest_us)):
            self._forget(kind, block.records)

    def _drop_before(self, stream: Stream, key: bytes, moment_us: int) -> list[Block]:
        """Drop the blocks before that of a moment; returns them."""
        needed = self._last(stream, key, moment_us)
        if needed is None or needed[0] == 0:
            return []
        dropped = self._delete_before(stream, key, needed[0])
        self._seen.clear()
        self._latest.clear()
        return [Block.unpacked(data, self._columns.layouts[stream]) for data in dropped]

    def _forget(self, kind: KeyKind, records: Records) -> None:
        """Orders that no history holds any more are unknown from now on."""
        names = [records.name(row) for row in range(len(records))]
        self.expect((name, (b"", b"")) for name in names)
        for name in names:
            entry = self.entry(name)
            if entry is None:
                continue
            kept = entry.kept & ~(1 << KINDS.index(kind))
            if kept:
                self.put_entry(name, entry.still_kept(kept))
            else:
                self._delete_entry(name)


_STREAM_BYTE = {stream: bytes([place]) for place, stream in enumerate(STREAMS)}


def prefix_of(stream: Stream, key: bytes) -> bytes:
    """What the names of a key's blocks begin with; none begins with another's."""
    return b"%b%c%b" % (_STREAM_BYTE[stream], len(key), key)
