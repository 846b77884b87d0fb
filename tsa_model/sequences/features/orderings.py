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

from tsa_model.events.units import NO_KEY

BLOCK = 2**20


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
    new_key = np.ones(len(rows), dtype=bool)
    new_moment = np.ones(len(rows), dtype=bool)
    # Block by block: of tens of millions of events, sorted copies of both would be the largest arrays.
    for first in range(1, len(rows), BLOCK):
        part = slice(first, first + BLOCK)
        here, before = rows[part], rows[first - 1 : first - 1 + len(rows[part])]
        new_key[part] = (key[here] != key[before]) | (key[here] == NO_KEY)
        new_moment[part] = new_key[part] | (time_us[here] != time_us[before])
    return Ordering(
        rows=rows,
        position=_by_row(rows, np.arange(len(rows), dtype=np.int32)),
        start=_by_row(rows, _last_start(new_key)),
        end=_by_row(rows, _last_start(new_moment)),
    )


def _last_start(starts: np.ndarray) -> np.ndarray:
    """First position of the run that each position lies in, int32."""
    position = np.arange(len(starts), dtype=np.int32)
    position[~starts] = 0
    return np.maximum.accumulate(position, out=position)


def _by_row(rows: np.ndarray, by_position: np.ndarray) -> np.ndarray:
    by_row = np.empty_like(by_position)
    by_row[rows] = by_position
    return by_row
