"""Columns computed from the events themselves: the calendar, and windows over a key's earlier orders."""

from __future__ import annotations

import numpy as np

from tsa_model.dataset import DatasetDescription, Window
from tsa_model.sequences.columns import DAY_US, UNKNOWN_LABEL, Codes, EventColumns
from tsa_model.sequences.orderings import Ordering

HOUR_US = DAY_US // 24
LAST_NIGHT_HOUR = 6
BLOCK = 2**20
KEY_NAMES = {"customer": "cid", "card": "ccid"}


def add_derived_columns(
    columns: EventColumns, orderings: dict[str, Ordering], description: DatasetDescription
) -> None:
    """Add the derived columns that have a role to `columns`."""
    wanted_numbers = {*description.numerical, *description.engineered}
    for name in description.calendar:
        values = calendar_column(name, columns.time_us)
        if name in description.categorical:
            columns.categorical[name] = Codes(values.astype(np.int32), [str(v) for v in range(24)])
        if name in wanted_numbers:
            columns.numerical[name] = values.astype(np.float64)
    for window in description.windows:
        wanted = {name: days for name, days in window.columns().items() if name in wanted_numbers}
        if wanted:
            delay_us = round(description.label_delay_days * DAY_US)
            ordering = orderings[KEY_NAMES[window.key]]
            columns.numerical |= window_columns(window, wanted, columns, ordering, delay_us)


def calendar_column(name: str, time_us: np.ndarray) -> np.ndarray:
    """Return `hour` 0–23, `weekday` 0 = Monday … 6, `weekend` or `night` 0/1 of UTC moments, [N] int64."""
    hour = time_us % DAY_US // HOUR_US
    weekday = (time_us // DAY_US + 3) % 7  # 1970-01-01 was a Thursday
    values = {
        "hour": hour,
        "weekday": weekday,
        "weekend": (weekday >= 5).astype(np.int64),
        "night": (hour <= LAST_NIGHT_HOUR).astype(np.int64),
    }
    return values[name]


def window_columns(
    window: Window, wanted: dict[str, float], columns: EventColumns, ordering: Ordering, delay_us: int
) -> dict[str, np.ndarray]:
    """Compute one window's columns.

    Args:
        window: the statistic and its column.
        wanted: column name → length in days.
        columns: all events.
        ordering: the key's order.
        delay_us: age at which a label is known, microseconds.

    Returns:
        Column name → [N] float64.
    """
    about_labels = window.statistic in ("label_rate", "label_count")
    shift_us = delay_us if about_labels else 0
    search = _HistorySearch(columns.keys[KEY_NAMES[window.key]], columns.time_us, ordering)
    until = search.first_after(shift_us) if about_labels else search.end
    sums = _WindowSums(window, columns, ordering)
    made = {}
    for name, days in wanted.items():
        since = search.first_after(shift_us + round(days * DAY_US))
        made[name] = np.empty(len(columns))
        made[name][ordering.rows] = sums.statistic(np.minimum(since, until), until)
    return made


class _HistorySearch:
    """Finds, for every position of an ordering, where its history passes a given age."""

    def __init__(self, key: np.ndarray, time_us: np.ndarray, ordering: Ordering) -> None:
        is_new = np.r_[True, time_us[1:] != time_us[:-1]]
        self.moments_us = time_us[is_new]
        """Distinct times, ascending; an event's moment is its index here."""
        moment = (np.cumsum(is_new) - 1).astype(np.int32)
        self.moment = moment[ordering.rows]
        self.start = ordering.start[ordering.rows]
        self.end = ordering.end[ordering.rows]
        # (key, moment) as one ascending number, so that one search serves all keys.
        self.base = (key[ordering.rows].astype(np.int64) + 1) * (len(self.moments_us) + 1)
        self.place = self.base + self.moment

    def first_after(self, age_us: int) -> np.ndarray:
        """First position of each history with time > own time − age, [N] int32; `end` when there is none."""
        oldest = np.searchsorted(self.moments_us, self.moments_us - age_us, side="right").astype(np.int32)
        found = np.empty(len(self.place), dtype=np.int32)
        for first in range(0, len(found), BLOCK):
            part = slice(first, first + BLOCK)
            found[part] = np.searchsorted(self.place, self.base[part] + oldest[self.moment[part]])
        return np.clip(found, self.start, self.end)


class _WindowSums:
    """Counts and sums over any stretch of one key's orders, exact: no order outside a window can change
    even the last bit of its sum, which running totals of floats do not give.
    """

    def __init__(self, window: Window, columns: EventColumns, ordering: Ordering) -> None:
        self.name = window.statistic
        if window.column is not None:
            self.value = columns.numerical[window.column][ordering.rows]
            self.is_counted = ~np.isnan(self.value)
        else:
            label = columns.label[ordering.rows]
            self.is_fraud = label == 1
            self.is_counted = label != UNKNOWN_LABEL

    def statistic(self, since: np.ndarray, until: np.ndarray) -> np.ndarray:
        """The window's statistic over the positions [since, until) of each position's key, [N] float64."""
        if self.name == "count":
            return (until - since).astype(np.float64)
        count = _between(self.is_counted, since, until)
        if self.name == "label_count":
            return count.astype(np.float64)
        if self.name == "label_rate":
            return _between(self.is_fraud, since, until) / np.maximum(count, 1)
        mean = exact_sums(self.value, since, until) / np.maximum(count, 1)
        if self.name == "mean":
            return mean
        ratio = np.divide(self.value, mean, out=np.ones_like(mean), where=mean != 0)
        return np.where(self.is_counted, ratio, np.nan)


def exact_sums(value: np.ndarray, since: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Sum `value` over every stretch [since, until), with NaN as 0.

    Each value is cut into three integers of 40 bits, in units of 2**20, 2**-20 and 2**-60. Running totals of
    integers are exact in their differences even where they overflow.

    Args:
        value: [N] float64 below 2**60 in size; what is smaller than 2**-60 is lost.
        since: [M] positions.
        until: [M] positions, not before `since`.

    Returns:
        [M] float64.
    """
    if np.nanmax(np.abs(value), initial=0) >= 2**60:
        raise ValueError(f"{np.nanmax(np.abs(value))} is too large to be averaged; leave the value out")
    rest = np.nan_to_num(value) / 2**20
    total = np.zeros(len(since))
    for unit in (2.0**20, 2.0**-20, 2.0**-60):
        whole = np.floor(rest)
        total += _between(whole.astype(np.int64), since, until) * unit
        rest = (rest - whole) * 2**40
    return total


def _between(summand: np.ndarray, since: np.ndarray, until: np.ndarray) -> np.ndarray:
    running = np.zeros(len(summand) + 1, dtype=np.int64)
    np.cumsum(summand, out=running[1:])
    return running[until] - running[since]
