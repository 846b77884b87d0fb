"""Blocks: a key's orders, in time order, cut into stretches of a few dozen.

A block holds all orders of its key from its own moment up to the next block's. The first block of a key
begins at 0; if a later one is the first, older orders were dropped.

    0          2025-03-01 09:00    2025-04-11 18:30
    ├─ 64 ────┼─ 64 ──────────────┼─ 17 ─ …
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsa_model.online.history import TooOld
from tsa_model.online.layouts import Layout
from tsa_model.online.records import Records, no_records
from tsa_model.online.totals import running_totals

MOST = 64
"""Orders of a block; more only where all are of one moment."""


@dataclass(frozen=True)
class Block:
    """Consecutive orders of a key, or labels."""

    before: np.ndarray
    """[T] int64, the totals of all that came before; see `totals`."""
    parts: tuple[Records, ...]
    """One after the other; they are joined only where that is needed."""
    layout: Layout

    @classmethod
    def first(cls, records: Records, layout: Layout) -> Block:
        """The first one of a key."""
        return cls(np.zeros(layout.width, np.int64), (records,), layout)

    @classmethod
    def unpacked(cls, data: bytes, layout: Layout) -> Block:
        """From bytes; the arrays are views of them."""
        before = np.ndarray(layout.width, "<i8", data)
        records = Records.unpacked(data, layout.n_categories, layout.n_numbers, before.nbytes)
        return cls(before, (records,), layout)

    def packed(self) -> bytes:
        """As bytes."""
        return self.before.astype("<i8", copy=False).tobytes() + self.parts[0].packed(*self.parts[1:])

    @property
    def records(self) -> Records:
        """All of them."""
        return self.parts[0] if len(self.parts) == 1 else self._joined

    @cached_property
    def _joined(self) -> Records:
        return Records.joined(self.parts)

    @cached_property
    def running(self) -> np.ndarray:
        """[N + 1, T] int64: the totals before each order, and after the last."""
        return running_totals(self.before, self.records, self.layout)

    def totals(self, before_us: np.ndarray) -> np.ndarray:
        """The totals of all orders before some moments, [n, T] int64."""
        return self.running.take(self.records.time_us.searchsorted(before_us), axis=0)

    def counts(self, before_us: np.ndarray) -> np.ndarray:
        """How many orders there are before some moments, [n] int64; the first of `totals`."""
        return self.before[0] + self.records.time_us.searchsorted(before_us)

    def holding(self, *parts: Records) -> Block:
        """The same stretch with other orders."""
        return Block(self.before, parts, self.layout)

    def after(self, summand: np.ndarray) -> Block:
        """The same orders where the earlier ones add up to so much more."""
        return Block(self.before + summand, self.parts, self.layout)

    def inserted(self, record: Records) -> Block:
        """With one order more."""
        held = self.records
        time_us, order_id = record.time_us[0], record.order_id[0]
        if not len(held) or held.time_us[-1] < time_us:
            return self.holding(held, record)
        first, last = np.searchsorted(held.time_us, [time_us, time_us + 1])
        place = int(first + (np.count_nonzero(held.order_id[first:last] < order_id) if last > first else 0))
        return self.holding(held.take(slice(0, place)), record, held.take(slice(place, len(held))))

    def put(self, place: int, record: Records | None) -> Block:
        """With another order at a place, or with none."""
        held = self.records
        parts = [held.take(slice(0, place)), held.take(slice(place + 1, len(held)))]
        return self.holding(parts[0], record, parts[1]) if record is not None else self.holding(*parts)

    def cut(self, is_last: bool) -> tuple[Block, Block] | None:
        """A block that grew, divided; None = it need not be.

        Args:
            is_last: no block of its key follows; it is then left full, for orders come at the end.
        """
        if sum(map(len, self.parts)) <= MOST:
            return None
        held = self.records
        cuts = np.flatnonzero(np.diff(held.time_us)) + 1  # orders of one moment stay together
        if not len(cuts):
            return None
        wanted = len(held) - 1 if is_last else len(held) // 2
        at = int(cuts[np.argmin(np.abs(cuts - wanted))])
        newer = Block(self.running[at], (held.take(slice(at, len(held))),), self.layout)
        return self.holding(held.take(slice(0, at))), newer


def earlier(blocks: Iterator[tuple[int, Block]], layout: Layout, before_us: int, latest: int) -> Records:
    """Orders before a moment; see `Transaction.earlier`.

    Args:
        blocks: with their moments, those that begin at or before `before_us`, backwards.
        layout: of an order.
        before_us: the moment.
        latest: how many orders are needed.
    """
    parts: list[Records] = []
    n_found, whole_since_us = 0, 0
    for since_us, block in blocks:
        whole_since_us = since_us
        part = block.records
        if len(part) and part.time_us[-1] >= before_us:
            part = part.take(slice(0, int(part.time_us.searchsorted(before_us))))
        parts.append(part)
        n_found += len(part)
        if n_found >= latest or since_us == 0:
            break
    if whole_since_us > 0 and n_found < latest:
        raise too_old(before_us, whole_since_us)
    if not n_found:
        return no_records(layout.n_categories, layout.n_numbers)
    return Records.joined(parts[::-1]).last(latest)


def too_old(moment_us: int, whole_since_us: int) -> TooOld:
    """An order whose histories are no longer whole."""
    moment, since = np.datetime64(moment_us, "us"), np.datetime64(whole_since_us, "us")
    return TooOld(
        f"an order of {moment} UTC comes too late: of its customer or card, orders are kept only from "
        f"{since} UTC on; load the store again with a larger late_days"
    )
