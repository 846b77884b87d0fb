"""Columns that are derived from a key's earlier orders, and what they need of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tsa_model.events.units import DAY_US
from tsa_model.online.history import KINDS, LABELS, LATE_LABELS, KeyKind, Transaction
from tsa_model.online.records import Records
from tsa_model.online.totals import totals_of
from tsa_model.sequences.features.derived import KEY_ORDERING
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import ABOUT_LABELS, Lag, Window

Moments = TypeVar("Moments", int, np.ndarray)
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
        return self._columns_of(about_labels=False)

    def fraud_summed(self) -> tuple[str, ...]:
        """The raw columns that windows sum over known frauds."""
        return self._columns_of(about_labels=True)

    def _columns_of(self, about_labels: bool) -> tuple[str, ...]:
        windows = [window for kind in KINDS for window, _ in self.windows[kind].values()]
        names = {window.column for window in windows if window.is_about_labels == about_labels}
        return tuple(sorted(name for name in names if name is not None))

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

    def totals(self, before_us: np.ndarray, n_totals: int) -> np.ndarray:
        """The totals of the key's orders before some moments, [n, T] int64; zeros without a key."""
        if self._transaction is None or not self._key:
            return np.zeros((len(before_us), n_totals), np.int64)
        return self._transaction.totals(self.kind, self._key, before_us)

    def counts(self, before_us: np.ndarray) -> np.ndarray:
        """How many orders the key had before some moments, [n] int64; zeros without a key."""
        if self._transaction is None or not self._key:
            return np.zeros(len(before_us), np.int64)
        return self._transaction.counts(self.kind, self._key, before_us)

    def labels(self, since_us: np.ndarray, n_totals: int) -> np.ndarray:
        """The totals of the labels that are known now and began to count at a moment or later.

        Args:
            since_us: [n + 1] int64, the moments, the last of them just after now.
            n_totals: T, for zeros without a key.

        Returns:
            [n, T] int64.
        """
        if self._transaction is None or not self._key:
            return np.zeros((len(since_us) - 1, n_totals), np.int64)
        stream, late = LABELS[self.kind], LATE_LABELS[self.kind]
        columns = self._transaction.columns
        totals = self._transaction.totals(stream, self._key, since_us)
        known = totals[-1] - totals[:-1]
        if columns.has_label_times:
            found = self._transaction.later(stream, self._key, self.now_us - 1, self.now_us)
            of_now = found.take(found.known_us >= self.now_us)  # of orders of this moment: not seen
            return known - totals_of(of_now, columns.layouts[stream]).sum(axis=0) if len(of_now) else known
        found = self._transaction.later(late, self._key, min(since_us.tolist()) - 1, self.now_us)
        if not len(found):
            return known
        counts = (found.time_us >= since_us[:-1, None]) & (found.known_us <= self.now_us)
        return known + counts.astype(np.int64) @ totals_of(found, columns.layouts[late])
