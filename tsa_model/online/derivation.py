"""The values of an order's derived columns, by the functions of `sequences.features`.

They are computed from running totals and the latest orders; all windows over a key read its totals at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsa_model.events.units import DAY_US
from tsa_model.online.derived import ABOUT_LABELS, DerivedColumns, Past
from tsa_model.online.history import KINDS, KeyKind
from tsa_model.online.records import NO_CATEGORY, Records
from tsa_model.online.totals import OF_LABELS, OF_ORDERS, PER_COLUMN, counted_and_summed
from tsa_model.sequences.features.derived import window_values
from tsa_model.sequences.features.lags import gap_values, number_values, position_values, same_values
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag, Window

_NONE = np.array([np.nan])
"""The own value of an order in a window that asks for none."""


class Derivation:
    """Derived columns of one order.

    Args:
        description: the columns' roles.
        columns: its derived columns.
    """

    def __init__(self, description: DatasetDescription, columns: DerivedColumns) -> None:
        self._plans = {kind: _Plan.of(description, columns, kind) for kind in KINDS}
        self._most_back = {kind: columns.most_back(kind) for kind in KINDS}
        self._n_totals = OF_ORDERS + PER_COLUMN * len(columns.summed())
        self._n_label_totals = OF_LABELS + PER_COLUMN * len(columns.fraud_summed())

    def __call__(self, past: Past, target: Records, latest: Records) -> dict[str, float]:
        """The columns over one key.

        Args:
            past: of that key.
            target: one row.
            latest: at least as many of the latest earlier orders as lags look back.
        """
        plan = self._plans[past.kind]
        values: dict[str, float] = {}
        if plan.of_orders or plan.positions:
            totals = past.totals(past.now_us - plan.ages_us, self._n_totals)
            for window in plan.of_orders:
                values |= window.over(totals[0] - totals[window.at], target.numbers[0])
            for name, lag in plan.positions:
                values[name] = float(position_values(lag, totals[0, :1])[0])
        if plan.of_labels:
            totals = past.labels(past.now_us - plan.label_ages_us, self._n_label_totals)
            for window in plan.of_labels:
                values |= window.over_labels(totals[window.at])
        for several in plan.lags:
            values |= several.of(latest, target)
        return values


@dataclass(frozen=True)
class _Windows:
    """The columns of one window that have a role."""

    window: Window
    names: tuple[str, ...]
    at: np.ndarray
    """Places of their lengths among those of the key."""
    number: int | None
    """Place of the window's column among the raw numbers; None = it has none."""
    summed: int | None
    """Its place among the columns that are summed, of all orders or of known frauds."""

    def over(self, totals: np.ndarray, own: np.ndarray) -> dict[str, float]:
        """The columns, from [n, T] totals of the orders inside and the order's raw numbers."""
        if self.window.column is None or self.number is None or self.summed is None:
            return self.of(totals[:, 0], np.zeros(len(totals)))
        return self.of(*counted_and_summed(totals, self.summed), own[self.number, None])

    def over_labels(self, totals: np.ndarray) -> dict[str, float]:
        """The columns, from [n, T] totals of the labels inside."""
        if self.window.column is None or self.number is None or self.summed is None:
            return self.of(totals[:, 0], totals[:, 1].astype(np.float64))
        return self.of(*counted_and_summed(totals, self.summed, OF_LABELS))

    def of(self, count: np.ndarray, total: np.ndarray, own: np.ndarray = _NONE) -> dict[str, float]:
        """The columns, from counts and sums, [n] each, and the order's own value, [1]."""
        found = window_values(self.window, np.repeat(own, len(count)), count, total)
        return dict(zip(self.names, found.tolist(), strict=True))


@dataclass(frozen=True)
class _Lags:
    """The columns of lags of one statistic that have a role, all computed at once."""

    lag: Lag
    """One of them."""
    names: tuple[str, ...]
    back: np.ndarray
    places: np.ndarray
    """Of their columns among the raw categories or the raw numbers."""

    def of(self, latest: Records, target: Records) -> dict[str, float]:
        """The columns of an order, whose latest earlier ones are given."""
        n_earlier = len(latest)
        exists = self.back <= n_earlier
        at = np.where(exists, n_earlier - self.back, n_earlier)  # where there is none, the order itself
        if self.lag.statistic == "gap":
            both = np.concatenate([latest.time_us, target.time_us])
            found = gap_values(self.lag, exists, both[-1], both[at])
        elif self.lag.statistic == "same":
            both = np.concatenate([latest.categories, target.categories])
            found = same_values(exists, both[-1, self.places], both[at, self.places], missing=NO_CATEGORY)
        else:
            both = np.concatenate([latest.numbers, target.numbers])
            found = number_values(self.lag, exists, both[-1, self.places], both[at, self.places])
        return dict(zip(self.names, found.tolist(), strict=True))


@dataclass(frozen=True)
class _Plan:
    """What is computed over one key, so that its totals are read once for all windows."""

    ages_us: np.ndarray
    """0, then how long before the order each window's orders begin, int64."""
    of_orders: list[_Windows]
    label_ages_us: np.ndarray
    """The same of windows over labels, without the 0."""
    of_labels: list[_Windows]
    positions: list[tuple[str, Lag]]
    lags: list[_Lags]

    @classmethod
    def of(cls, d: DatasetDescription, columns: DerivedColumns, kind: KeyKind) -> _Plan:
        """The plan of a description's derived columns over one key."""
        # Labels that count since later than so long ago; see `label_due_us`.
        delay_us = round(d.label_delay_days * DAY_US)
        label_shift_us = 0 if d.label_time is not None else max(delay_us, 1) - delay_us
        ages: list[int] = [0]
        label_ages: list[int] = []
        of_orders: list[_Windows] = []
        of_labels: list[_Windows] = []
        for window in d.windows:
            lengths = {name: at for name, (one, at) in columns.windows[kind].items() if one == window}
            if not lengths:
                continue
            is_of_labels = window.statistic in ABOUT_LABELS
            known, shift_us = (label_ages, label_shift_us) if is_of_labels else (ages, 0)
            at = []
            for length_us in lengths.values():
                age_us = length_us - 1 - shift_us
                if age_us not in known[0 if is_of_labels else 1 :]:
                    known.append(age_us)
                at.append(known.index(age_us, 0 if is_of_labels else 1))
            number = None if window.column is None else d.raw_numerical.index(window.column)
            names = columns.fraud_summed() if is_of_labels else columns.summed()
            summed = None if window.column is None else names.index(window.column)
            windows = of_labels if is_of_labels else of_orders
            windows.append(_Windows(window, tuple(lengths), np.array(at), number, summed))
        moments = (np.array(each, np.int64) for each in (ages, label_ages))
        positions, lags = _positions_and_lags(d, columns, kind)
        return cls(next(moments), of_orders, next(moments), of_labels, positions, lags)


def _positions_and_lags(
    d: DatasetDescription, columns: DerivedColumns, kind: KeyKind
) -> tuple[list[tuple[str, Lag]], list[_Lags]]:
    """The positions over one key, and its other lags, those of one statistic together."""
    positions: list[tuple[str, Lag]] = []
    alike: dict[tuple[str, bool], list[tuple[Lag, str, int, int]]] = {}
    for name, (lag, back) in columns.lags[kind].items():
        if lag.statistic == "position":
            positions.append((name, lag))
            continue
        raw = d.raw_categorical if lag.statistic == "same" else d.raw_numerical
        place = 0 if lag.column is None else raw.index(lag.column)
        alike.setdefault((lag.statistic, lag.log), []).append((lag, name, back, place))
    lags = []
    for group in alike.values():
        _, names, backs, places = zip(*group, strict=True)
        lags.append(_Lags(group[0][0], names, np.array(backs), np.array(places)))
    return positions, lags
