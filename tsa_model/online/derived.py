"""Columns that are derived from a key's earlier orders: what they need of it, and their values for one order.

The values are computed by the functions of `sequences.features`, from running totals and the latest orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tsa_model.events.units import DAY_US
from tsa_model.online.history import KINDS, LABELS, LATE_LABELS, KeyKind, Transaction
from tsa_model.online.records import Records
from tsa_model.online.totals import counted_and_summed
from tsa_model.sequences.columns.column_files import MemoryColumns
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.derived import KEY_ORDERING, window_values
from tsa_model.sequences.features.lags import add_lag_columns, position_values
from tsa_model.sequences.features.orderings import order_by_key
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag, Window

Moments = TypeVar("Moments", int, np.ndarray)
ABOUT_LABELS = ("label_rate", "label_count")
ANY_TIME_US = 2**61
"""Further than any orders are apart."""


@dataclass(frozen=True)
class DerivedColumns:
    """The columns that a description derives from a key's earlier orders and that have a role."""

    windows: Mapping[KeyKind, Mapping[str, tuple[Window, int]]]
    """Column → its window, and the window's length in µs."""
    lags: Mapping[KeyKind, Mapping[str, tuple[Lag, int]]]
    """Column → its lag, and how many orders it looks back."""
    kept: tuple[str, ...]
    """Those that a sequence holds of every order: they are kept with it."""
    reach_us: Mapping[KeyKind, int]
    """How far back windows look."""
    renewed_us: Mapping[KeyKind, int]
    """How much younger an order may be whose kept columns an order that comes late changes."""
    relabelled_us: Mapping[KeyKind, int]
    """The same of a label that comes late."""

    @classmethod
    def of(cls, description: DatasetDescription) -> DerivedColumns:
        """The columns of a description."""
        d = description
        roles = {*d.numerical, *d.engineered}
        windows: dict[KeyKind, dict[str, tuple[Window, int]]] = {kind: {} for kind in KINDS}
        lags: dict[KeyKind, dict[str, tuple[Lag, int]]] = {kind: {} for kind in KINDS}
        for window in d.windows:
            for name, days in window.columns().items():
                if name in roles:
                    windows[_kind(window)][name] = (window, round(days * DAY_US))
        for lag in d.lags:
            lags[_kind(lag)] |= {name: (lag, back) for name, back in lag.columns().items() if name in roles}
        delay_us = round(d.label_delay_days * DAY_US)
        reach_us: dict[KeyKind, int] = {}
        renewed_us: dict[KeyKind, int] = {}
        relabelled_us: dict[KeyKind, int] = {}
        for kind in KINDS:
            reach = {
                name: length_us + (delay_us if window.statistic in ABOUT_LABELS else 0)
                for name, (window, length_us) in windows[kind].items()
            }
            in_sequences = [name for name in reach if name in d.numerical]
            labelled = [name for name in in_sequences if windows[kind][name][0].statistic in ABOUT_LABELS]
            reach_us[kind] = max(reach.values(), default=0)
            renewed_us[kind] = max((reach[name] for name in in_sequences), default=0)
            relabelled_us[kind] = max((reach[name] for name in labelled), default=0)
            if any(name in d.numerical for name in lags[kind]):
                renewed_us[kind] = ANY_TIME_US
        names = [name for kind in KINDS for name in (*windows[kind], *lags[kind])]
        kept = tuple(name for name in names if name in d.numerical)
        return cls(windows, lags, kept, reach_us, renewed_us, relabelled_us)

    @property
    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted(name for kind in KINDS for name in (*self.windows[kind], *self.lags[kind]))

    def labelled(self) -> tuple[KeyKind, ...]:
        """The keys of which windows count labels."""
        return tuple(
            kind
            for kind in KINDS
            if any(window.statistic in ABOUT_LABELS for window, _ in self.windows[kind].values())
        )

    def longest_label_window_us(self) -> int:
        """The length of the longest window over labels; 0 = there is none."""
        windows = [each for kind in KINDS for each in self.windows[kind].values()]
        return max((length for window, length in windows if window.statistic in ABOUT_LABELS), default=0)

    def summed(self) -> tuple[str, ...]:
        """The raw columns that windows sum."""
        windows = [window for kind in KINDS for window, _ in self.windows[kind].values()]
        return tuple(sorted({window.column for window in windows if window.column is not None}))

    def most_back(self, kind: KeyKind) -> int:
        """How many orders the lags of a key look back."""
        return max((back for lag, back in self.lags[kind].values() if lag.statistic != "position"), default=0)


def _kind(of: Window | Lag) -> KeyKind:
    kind: KeyKind = KEY_ORDERING[of.key]  # type: ignore[assignment]
    return kind


def label_due_us(time_us: Moments, delay_us: int) -> Moments:
    """The moment from which the label of an order counts, where it comes in time.

    An order of the same moment never sees it, even without a delay.
    """
    return time_us + max(delay_us, 1)


class Past:
    """One key's orders before a moment.

    Args:
        transaction: reads them.
        kind: of the key.
        key: see `records.id_bytes`; empty = no key, so nothing is earlier.
        now_us: the moment.
    """

    def __init__(self, transaction: Transaction | None, kind: KeyKind, key: bytes, now_us: int) -> None:
        self._transaction, self.kind, self._key, self.now_us = transaction, kind, key, now_us

    def latest(self, n: int, none: Records) -> Records:
        """The latest n orders; `none` where there is no key."""
        if self._transaction is None or not self._key:
            return none
        return self._transaction.earlier(self.kind, self._key, self.now_us, n)

    def n_ever(self) -> int:
        """How many orders there ever were."""
        totals = self._totals(self.now_us)
        return 0 if totals is None else int(totals[0])

    def totals_since(self, since_us: int) -> np.ndarray | None:
        """The totals of the orders from a moment on, [T] int64; None = without a key."""
        totals, before = self._totals(self.now_us), self._totals(since_us)
        return None if totals is None or before is None else totals - before

    def labels(self, since_us: int) -> tuple[int, int]:
        """How many labels that are known now began to count at a moment or later, and how many are frauds."""
        if self._transaction is None or not self._key:
            return 0, 0
        stream, late = LABELS[self.kind], LATE_LABELS[self.kind]
        totals = self._transaction.totals(stream, self._key, self.now_us + 1)
        totals = totals - self._transaction.totals(stream, self._key, since_us)
        if self._transaction.columns.has_label_times:
            found = self._transaction.later(stream, self._key, self.now_us - 1, self.now_us)
            of_now = found.label[found.known_us >= self.now_us]  # of orders of this moment: not seen
            return int(totals[0]) - len(of_now), int(totals[1]) - int(of_now.sum())
        found = self._transaction.later(late, self._key, since_us - 1, self.now_us)
        labels = found.label[found.known_us <= self.now_us]
        return int(totals[0]) + len(labels), int(totals[1]) + int(labels.sum())

    def _totals(self, before_us: int) -> np.ndarray | None:
        if self._transaction is None or not self._key:
            return None
        return self._transaction.totals(self.kind, self._key, before_us)


class Derivation:
    """Derived columns of one order.

    Args:
        description: the columns' roles.
        columns: its derived columns.
        orders_of: makes of records the columns that a log would be.
    """

    def __init__(
        self,
        description: DatasetDescription,
        columns: DerivedColumns,
        orders_of: Callable[[Records, np.ndarray], Orders],
    ) -> None:
        self._columns, self._orders_of = columns, orders_of
        self._numbers, self._summed = description.raw_numerical, columns.summed()
        self._delay_us = round(description.label_delay_days * DAY_US)
        self._has_label_times = description.label_time is not None
        one_by_one = tuple(lag for lag in description.lags if lag.statistic != "position")
        self._d = description.changed(lags=one_by_one)

    def __call__(self, past: Past, target: Records, latest: Records) -> dict[str, float]:
        """The columns over one key.

        Args:
            past: of that key.
            target: one row.
            latest: at least as many of the latest earlier orders as lags look back.
        """
        kind, own = past.kind, target.numbers[0]
        values: dict[str, float] = {}
        for name, (window, length_us) in self._columns.windows[kind].items():
            values[name] = self._window(window, length_us, past, own)
        for name, (lag, _) in self._columns.lags[kind].items():
            if lag.statistic == "position":
                values[name] = float(position_values(lag, np.array([past.n_ever()]))[0])
        if most_back := self._columns.most_back(kind):
            values |= self._one_by_one(
                kind, latest.take(slice(max(0, len(latest) - most_back), len(latest))), target
            )
        return values

    def _window(self, window: Window, length_us: int, past: Past, own: np.ndarray) -> float:
        value = np.array([np.nan])
        if window.statistic in ABOUT_LABELS:
            since_us = past.now_us - length_us + 1
            if not self._has_label_times:
                # Labels that count since later than so long ago; see `label_due_us`.
                since_us += max(self._delay_us, 1) - self._delay_us
            count, total = (np.array([each]) for each in past.labels(since_us))
            return float(window_values(window, value, count, total.astype(np.float64))[0])
        totals = past.totals_since(past.now_us - length_us + 1)
        count, total = np.zeros(1, np.int64), np.zeros(1)
        if window.column is not None:
            value = own[self._numbers.index(window.column), None]
            exact_sums.check(window.column, value)
            if totals is not None:
                count, total = counted_and_summed(totals, self._summed.index(window.column))
        elif totals is not None:
            count = totals[:1]
        return float(window_values(window, value, count, total)[0])

    def _one_by_one(self, kind: KeyKind, latest: Records, target: Records) -> dict[str, float]:
        """Lags but for positions."""
        table = Records.joined([latest, target])
        orders = self._orders_of(table, table.label)
        files = MemoryColumns()
        ordering = order_by_key(np.zeros(len(table), np.int32), table.time_us)
        add_lag_columns(orders, kind, ordering, self._d, files)
        names = (n for n, (lag, _) in self._columns.lags[kind].items() if lag.statistic != "position")
        return {name: float(orders.numerical[name][-1]) for name in names}
