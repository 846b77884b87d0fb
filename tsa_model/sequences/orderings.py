"""One key's view of the events: sorted by (key, time, order id), so that a target's history is a slice.

position      … 7   8   9   10  11  12 …
key             A   A   A   A   A   B
time            1   4   5   5   9   2
                ▲       ▲   ▲
              start    end  position of a target at time 5: its history is [start, end), the order at
                            time 5 with the smaller id is not earlier and not in it
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsa_model.sequences.columns import NO_KEY


@dataclass
class Ordering:
    """Where events lie in one key's order; all arrays [N] int32.

    The last three are indexed by row number (chronological), and count in positions of this order.
    """

    rows: np.ndarray
    """Row number of the event at each position."""
    position: np.ndarray
    """Position of each event."""
    start: np.ndarray
    """First position of the event's key."""
    end: np.ndarray
    """First position of the key that is not strictly earlier than the event."""


def order_by_key(key: np.ndarray, time_us: np.ndarray) -> Ordering:
    """Sort chronological events by key and find every event's history.

    Args:
        key: [N] int32 key numbers, -1 = none; the events are sorted by (time, order id).
        time_us: [N] int64.

    Returns:
        The ordering; an event without key has an empty history.
    """
    rows = np.argsort(key, kind="stable").astype(np.int32)
    sorted_key = key[rows]
    new_key = _starts_run(sorted_key)
    new_moment = new_key | _starts_run(time_us[rows])
    lone = sorted_key == NO_KEY
    new_key |= lone
    new_moment |= lone
    return Ordering(
        rows=rows,
        position=_by_row(rows, np.arange(len(rows), dtype=np.int32)),
        start=_by_row(rows, _last_start(new_key)),
        end=_by_row(rows, _last_start(new_moment)),
    )


def _starts_run(values: np.ndarray) -> np.ndarray:
    starts = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=starts[1:])
    return starts


def _last_start(starts: np.ndarray) -> np.ndarray:
    """Position of the run each position lies in, int32."""
    position = np.arange(len(starts), dtype=np.int32)
    return np.maximum.accumulate(np.where(starts, position, 0).astype(np.int32))


def _by_row(rows: np.ndarray, by_position: np.ndarray) -> np.ndarray:
    by_row = np.empty_like(by_position)
    by_row[rows] = by_position
    return by_row
