"""Where a run's data end: given as a moment, or computed from the time a recurring run was scheduled for."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime

SCHEDULED_TIME = "[[ScheduledTime]]"
"""Kubeflow replaces this in the parameters of a recurring run by the time the run was scheduled for."""

_REPLACED = re.compile(r"\d{14}")
"""Its replacement: YYYYMMDDhhmmss, UTC."""


def interval_end(text: str, now: datetime | None = None) -> datetime | None:
    """The first moment without data that `text` stands for.

    A scheduled time stands for the midnight before it, so that a run that was fired late, or at another hour,
    trains on the same days.

    Args:
        text: empty; a date or time in ISO 8601, UTC where it names no zone; a time as Kubeflow writes it in
            place of `SCHEDULED_TIME`; or `SCHEDULED_TIME` itself, where Kubeflow did not replace it. Then
            the clock stands in for the scheduled time, and a warning says so.
        now: what the clock says; None = ask it.

    Returns:
        A moment in UTC; None for the empty text.

    Raises:
        ValueError: `text` is none of these.
    """
    if not text:
        return None
    if text == SCHEDULED_TIME:
        clock = (now or datetime.now(UTC)).astimezone(UTC)
        warnings.warn(
            f"this Kubeflow does not replace {SCHEDULED_TIME}: the data end at the midnight before the run's "
            f"start, {_midnight(clock):%Y-%m-%d} (UTC)",
            stacklevel=2,
        )
        return _midnight(clock)
    try:
        if _REPLACED.fullmatch(text):
            return _midnight(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC))
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"data interval end {text!r} is no moment: write it like 2025-04-24 or 2025-04-24T06:00:00Z, "
            f"or {SCHEDULED_TIME} in a recurring run"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
