"""Columns computed from the events themselves: the calendar, and windows over a key's earlier orders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property, partial

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.events.units import DAY_US, UNKNOWN_LABEL
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.label_windows import LabelsByMoment
from tsa_model.sequences.features.orderings import Ordering
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Window

HOUR_US = DAY_US // 24
LAST_NIGHT_HOUR = 6
HOURS = [str(hour) for hour in range(24)]
"""The categories of every calendar column."""
KEY_ORDERING = {"customer": "cid", "card": "ccid"}
FRAUD = 1
CHUNK = 2**20
"""Orders worked on at a time; a key is never cut."""


def add_calendar_columns(orders: Orders, description: DatasetDescription, files: ColumnFiles) -> None:
    """Add the calendar columns that have a role to `orders`."""
    for name in description.calendar:
        values = calendar_column(name, orders.time_us)
        if name in description.categorical:
            files.put(f"calendar code {name}", values.astype(np.int32))
            orders.categorical.add(name, partial(_calendar_codes, files, f"calendar code {name}"))
        if name in (*description.numerical, *description.engineered):
            files.put(f"calendar {name}", values.astype(np.float64))
            orders.numerical.add(name, partial(files.read, f"calendar {name}"))


def _calendar_codes(files: ColumnFiles, file: str) -> Codes:
    return Codes(files.read(file), HOURS)


def calendar_column(name: str, time_us: np.ndarray) -> np.ndarray:
    """Return `hour` 0–23, `weekday` 0 = Monday … 6, `weekend` or `night` 0/1 of UTC moments, [N] int64."""
    if name in ("hour", "night"):
        hour = time_us % DAY_US // HOUR_US
        return hour if name == "hour" else (hour <= LAST_NIGHT_HOUR).astype(np.int64)
    weekday = (time_us // DAY_US + 3) % 7  # 1970-01-01 was a Thursday
    return weekday if name == "weekday" else (weekday >= 5).astype(np.int64)


def add_window_columns(
    orders: Orders,
    ordering_name: str,
    ordering: Ordering,
    description: DatasetDescription,
    files: ColumnFiles,
) -> None:
    """Add the window columns over one key that have a role to `orders`.

    Args:
        orders: all orders.
        ordering_name: "cid" or "ccid".
        ordering: that key's order.
        description: the windows, roles and label delay.
        files: where the columns are written, for they may not fit into memory together.
    """
    roles = {*description.numerical, *description.engineered}
    windows = [window for window in description.windows if KEY_ORDERING[window.key] == ordering_name]
    delay_us = round(description.label_delay_days * DAY_US)
    names = [name for window in windows for name in window.columns() if name in roles]
    if not names:
        return
    for first, last in whole_keys(ordering):
        chunk = _Chunk(orders, ordering, first, last)
        for window in windows:
            for name, days in window.columns().items():
                if name in roles:
                    values = chunk.statistic(window, round(days * DAY_US), delay_us)
                    files.append(f"by position {name}", values)
    for name in names:
        by_row = np.empty(len(orders))
        by_row[ordering.rows] = files.read(f"by position {name}")
        files.put(f"window {name}", by_row)
        orders.numerical.add(name, partial(files.read, f"window {name}"))


def whole_keys(ordering: Ordering) -> Iterator[tuple[int, int]]:
    """Cut the positions into stretches of about `CHUNK` that begin and end with a key."""
    n, first = len(ordering.rows), 0
    while first < n:
        last = min(first + CHUNK, n)
        if last < n:
            begin_of_cut_key = int(ordering.start[ordering.rows[last]])
            last = begin_of_cut_key if begin_of_cut_key > first else _end_of_key(ordering, last)
        yield first, last
        first = last


def add_log_columns(orders: Orders, description: DatasetDescription, files: ColumnFiles) -> None:
    """Add the columns of `logs` that have a role to `orders`."""
    for name, column in description.log_columns.items():
        if name in (*description.numerical, *description.engineered):
            files.put(f"log {name}", signed_log(orders.numerical[column]))
            orders.numerical.add(name, partial(files.read, f"log {name}"))


def signed_log(values: np.ndarray) -> np.ndarray:
    """log(1 + |x|) with the sign of x."""
    return np.copysign(np.log1p(np.abs(values)), values)


def signed_log_of(value: float) -> float:
    """`signed_log` of a single number."""
    return math.copysign(np.log1p(abs(value)).item(), value)


def _end_of_key(ordering: Ordering, position: int) -> int:
    starts = ordering.start[ordering.rows[position:]]
    return position + int(np.searchsorted(starts, starts[0], side="right"))


def window_values(window: Window, own: np.ndarray, count: np.ndarray, total: np.ndarray) -> np.ndarray:
    """A window's statistic, [N] float64; NaN where it needs a value that the order lacks.

    Args:
        window: says which statistic.
        own: [N] float64, the orders' own values in the window's column; only `ratio` and `difference` use it.
        count: [N] int64, orders in the window, those left out whose value or label is unknown.
        total: [N] float64, the sum of those values or labels; for `fraud_mean` both are of known frauds.
    """
    if window.statistic in ("count", "label_count"):
        return count.astype(np.float64)
    mean = total / np.maximum(count, 1)
    if window.statistic == "difference":
        return np.where(count > 0, own - mean, np.where(np.isnan(own), np.nan, 0.0))
    if window.statistic != "ratio":
        return mean
    ratio = np.divide(own, mean, out=np.ones_like(mean), where=mean != 0)
    return np.where(np.isnan(own), np.nan, ratio)


def window_value(window: Window, own: float, count: int, total: float) -> float:
    """`window_values` of one order: the same operations on single numbers, which numpy begins later."""
    if window.statistic in ("count", "label_count"):
        return float(count)
    mean = total / max(count, 1)
    if window.statistic == "difference" and count > 0:
        return own - mean
    if window.statistic not in ("difference", "ratio"):
        return mean
    if math.isnan(own):
        return math.nan
    if window.statistic == "difference":
        return 0.0
    return own / mean if mean != 0 else 1.0


_Summed = tuple[str | None, bool]
"""A raw column, or none for the labels themselves; and whether only known frauds count."""


class _Chunk:
    """Some keys' orders, and statistics over any stretch of them; all sums are exact."""

    def __init__(self, orders: Orders, ordering: Ordering, first: int, last: int) -> None:
        rows = ordering.rows[first:last]
        self._orders, self._rows = orders, rows
        self._start = ordering.start[rows] - first
        self._end = ordering.end[rows] - first
        self._time_us = orders.time_us[rows]
        self._sums: dict[_Summed, _ExactSums] = {}
        self._by_moment: dict[_Summed, LabelsByMoment] = {}
        self._found: dict[int, np.ndarray] = {}

    def statistic(self, window: Window, length_us: int, delay_us: int) -> np.ndarray:
        """The window's statistic for each order, float64; NaN where it needs a value the order lacks."""
        if window.is_about_labels and self._orders.known_us is not None:
            key, until_us = self._key, self._time_us
            counted = self._labels_of(window).between(key, until_us - length_us, until_us)
            return window_values(window, np.full(len(key), np.nan), *counted)
        shift_us = delay_us if window.is_about_labels else 0
        until = self._first_younger(shift_us) if window.is_about_labels else self._end
        since = np.minimum(self._first_younger(shift_us + length_us), until)
        if window.statistic == "count":
            return (until - since).astype(np.float64)
        sums = self._sums_of(window)
        return window_values(window, sums.value, *sums.between(since, until))

    @cached_property
    def _key(self) -> np.ndarray:
        """A number for each order's key, ascending from 0."""
        return np.cumsum(self._start == np.arange(len(self._start))) - 1

    def _labels_of(self, window: Window) -> LabelsByMoment:
        summed = (window.column, True)
        if summed not in self._by_moment:
            assert self._orders.known_us is not None
            known_us, value = self._orders.known_us[self._rows], self._summed(*summed)
            self._by_moment[summed] = LabelsByMoment(self._key, self._time_us, known_us, value)
        return self._by_moment[summed]

    def _sums_of(self, window: Window) -> _ExactSums:
        summed = (window.column, window.is_about_labels)
        if summed not in self._sums:
            self._sums[summed] = _ExactSums(window.column or "", self._summed(*summed))
        return self._sums[summed]

    def _summed(self, column: str | None, about_labels: bool) -> np.ndarray:
        """What a window adds up of each order, float64; NaN = it leaves the order out."""
        label = self._orders.label[self._rows]
        if column is None:
            return np.where(label == UNKNOWN_LABEL, np.nan, label.astype(np.float64))
        value = np.asarray(self._orders.numerical[column][self._rows])
        if not about_labels:
            return value
        exact_sums.check(column, value)  # online no order is kept whose value could not be summed
        return np.where(label == FRAUD, value, np.nan)

    def _first_younger(self, age_us: int) -> np.ndarray:
        """First position in each order's history with time > own time − age; `end` when there is none."""
        if age_us not in self._found:
            self._found[age_us] = self._search(age_us).astype(np.int32)
        return self._found[age_us]

    def _search(self, age_us: int) -> np.ndarray:
        key = self._key
        earliest_us = self._time_us.min()
        span_us = int(self._time_us.max() - earliest_us) + 1
        found = np.empty(len(key), dtype=np.int64)
        # (key, time) as one ascending integer, so that one search serves all keys; as many as fit in 63 bits.
        keys_at_once = 2**62 // (span_us + 1)
        for first_key in range(0, int(key[-1]) + 1, keys_at_once):
            first, last = np.searchsorted(key, [first_key, first_key + keys_at_once])
            base = (key[first:last] - first_key) * (span_us + 1)
            since_us = self._time_us[first:last] - earliest_us
            oldest = np.clip(since_us - age_us + 1, 0, span_us)
            found[first:last] = first + np.searchsorted(base + since_us, base + oldest)
        return np.clip(found, self._start, self._end)


class _ExactSums:
    """Counts and sums of stretches of a column, NaN left out."""

    def __init__(self, name: str, value: np.ndarray) -> None:
        exact_sums.check(name, value)
        self.value = value
        self._count = _running(~np.isnan(value))
        self._totals = [
            (unit, _running(whole.astype(np.int64))) for unit, whole in exact_sums.cut(value) if whole.any()
        ]

    def between(self, since: np.ndarray, until: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count and sum over each stretch [since, until)."""
        often = ((unit, running[until] - running[since]) for unit, running in self._totals)
        return self._count[until] - self._count[since], exact_sums.joined(often, len(since))


def _running(summand: np.ndarray) -> np.ndarray:
    running = np.zeros(len(summand) + 1, dtype=np.int64)
    np.cumsum(summand, out=running[1:])
    return running
