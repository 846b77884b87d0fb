"""The events as plain columns, in the one order everything else refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS
UNKNOWN_LABEL = -1
NO_KEY = -1


@dataclass
class Codes:
    """A text column as indices into its distinct values."""

    code: np.ndarray
    """[N] int32; -1 = missing."""
    values: list[str]


@dataclass
class EventColumns:
    """All events sorted by (time, order id); a row number in this order is an event's name everywhere.

    The arrays may be memory-mapped: use them column by column.
    """

    order_id: np.ndarray
    """[N] int64, or UTF-8 bytes of fixed width."""
    time_us: np.ndarray
    """[N] int64, microseconds since 1970-01-01 UTC."""
    label: np.ndarray
    """[N] int8; -1 = not yet known."""
    keys: dict[str, np.ndarray]
    """Ordering name → [N] int32 number of the key; -1 = the order has none."""
    categorical: dict[str, Codes] = field(default_factory=dict)
    numerical: dict[str, np.ndarray] = field(default_factory=dict)
    """[N] float64 each; NaN = missing."""

    def __len__(self) -> int:
        return len(self.time_us)

    def between(self, start: datetime, end: datetime) -> slice:
        """Row numbers of the events in [start, end)."""
        first, last = np.searchsorted(self.time_us, [to_us(start), to_us(end)], side="left")
        return slice(int(first), int(last))


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware `moment`."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * MICROSECONDS + moment.microsecond
