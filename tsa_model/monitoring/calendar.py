"""Days and weeks of orders: numbers of days since 1970-01-01 UTC, weeks that begin on Mondays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tsa_model.events.units import DAY_US

WEEK = 7
"""Days."""
_FIRST_MONDAY = 3
"""1970-01-01 was a Thursday: three days after a Monday."""


def days_of(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] days of moments."""
    return time_us // DAY_US


def week_start(day: int) -> int:
    """The Monday of a day's week."""
    return (day + _FIRST_MONDAY) // WEEK * WEEK - _FIRST_MONDAY


def moment(day: int) -> datetime:
    """Midnight at the beginning of a day, UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)


def rows_between(days: NDArray[np.int64], first: int, end: int) -> slice:
    """The rows of ascending `days` from `first` on and before `end`."""
    low, high = np.searchsorted(days, [first, end])
    return slice(int(low), int(high))
