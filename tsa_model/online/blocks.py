"""Blocks: a key's orders, in time order, cut into stretches of a few dozen.

A block holds all orders of its key from its own moment up to the next block's. The first block of a key
begins at 0; if a later one is the first, older orders were dropped.

    0          2025-03-01 09:00    2025-04-11 18:30
    ├─ 64 ────┼─ 64 ──────────────┼─ 17 ─ …
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsa_model.online.history import Columns, TooOld
from tsa_model.online.records import Records

MOST = 64
"""Orders of a block; more only where all are of one moment."""


def unpack(block: bytes, columns: Columns) -> Records:
    """The orders of a block."""
    return Records.unpacked(block, len(columns.categorical), columns.n_numbers)


def earlier(
    blocks: Iterator[tuple[int, bytes]], columns: Columns, before_us: int, latest: int, reach_us: int
) -> Records:
    """Orders before a moment; see `Transaction.earlier`.

    Args:
        blocks: (its moment, its bytes) of the blocks that begin at or before `before_us`, backwards.
        columns: what an order holds.
        before_us: the moment.
        latest: how many orders are needed.
        reach_us: how far back all are needed.
    """
    parts: list[Records] = []
    n_found, whole_since_us = 0, 0
    for whole_since_us, block in blocks:
        part = unpack(block, columns)
        if part.time_us[-1] >= before_us:
            part = part.take(slice(0, int(np.searchsorted(part.time_us, before_us))))
        parts.append(part)
        n_found += len(part)
        if n_found >= latest and whole_since_us <= before_us - reach_us:
            break
    if whole_since_us > 0 and (n_found < latest or whole_since_us > before_us - reach_us):
        raise too_old(before_us, whole_since_us)
    if not n_found:
        return Records.none(len(columns.categorical), columns.n_numbers)
    found = Records.joined(parts[::-1])
    # Windows look at orders that are younger than their length, not as old.
    in_reach = (
        int(np.searchsorted(found.time_us, before_us - reach_us, side="right")) if reach_us else n_found
    )
    first = max(0, min(n_found - latest, in_reach))
    return found.take(slice(first, n_found)) if first else found


def too_old(moment_us: int, whole_since_us: int) -> TooOld:
    """An order whose histories are no longer whole."""
    moment, since = np.datetime64(moment_us, "us"), np.datetime64(whole_since_us, "us")
    return TooOld(
        f"an order of {moment} UTC comes too late: of its customer or card, orders are kept only from "
        f"{since} UTC on; load the store again with a larger late_days"
    )


def inserted(block: Records, record: Records) -> Records:
    """A block with one order more."""
    time_us, order_id = record.time_us[0], record.order_id[0]
    first, last = np.searchsorted(block.time_us, [time_us, time_us + 1])
    place = int(first + np.count_nonzero(block.order_id[first:last] < order_id))
    return Records.joined([block.take(slice(0, place)), record, block.take(slice(place, len(block)))])


def split(block: Records, is_last: bool) -> int | None:
    """Where a block that grew is divided; None = not at all.

    Args:
        block: its orders.
        is_last: no block of its key follows; it is then left full, for orders come at the end.
    """
    if len(block) <= MOST:
        return None
    cuts = np.flatnonzero(np.diff(block.time_us)) + 1  # orders of one moment stay together
    if not len(cuts):
        return None
    wanted = len(block) - 1 if is_last else len(block) // 2
    return int(cuts[np.argmin(np.abs(cuts - wanted))])
