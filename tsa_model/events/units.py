"""Units of time, and the numbers that stand for a missing label or key, wherever orders are columns."""

from __future__ import annotations

from datetime import datetime

MICROSECONDS = 1_000_000
"""In a second."""
DAY_US = 86_400 * MICROSECONDS
UNKNOWN_LABEL = -1
NO_KEY = -1


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware `moment`."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * MICROSECONDS + moment.microsecond
