"""The values of an order's derived columns, by the functions of `sequences.features`.

They are computed from running totals and the latest orders; all windows over a key read its totals at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsa_model.events.units import DAY_US
from tsa_model.online.derived import ABOUT_LABELS, DerivedColumns, Past
from tsa_model.online.history import KINDS, KeyKind
from tsa_model.online.layouts import OF_LABELS, OF_ORDERS, PER_COLUMN
from tsa_model.online.records import NO_CATEGORY, Records
from tsa_model.online.totals import counted_and_summed, counted_and_summed_one
from tsa_model.sequences.features.derived import window_value, window_values
from tsa_model.sequences.features.lags import (
    gap_value,
    gap_values,
    number_values,
    position_value,
    same_values,
)
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag, Window

Numbers = Any
"""An array; or, of one column alone, a number, which numpy computes with sooner than with an array of one."""
_NONE: Numbers = np.float64(np.nan)
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
        if plan.counted or plan.positions or plan.summed:
            moments = past.now_us - plan.ages_us
            totals = past.totals(moments, self._n_totals) if plan.summed else None
            counts = past.counts(moments) if totals is None else totals[:, 0]
            for window in plan.counted:
                window.note_counts(values, counts[0] - counts.take(window.at))
            for name, lag in plan.positions:
                values[name] = position_value(lag, counts[0].item())
            for window in plan.summed:
                assert totals is not None
                window.note_sums(values, totals[0] - totals.take(window.at, axis=0), target.numbers[0])
        if plan.of_labels:
            totals = past.labels(past.now_us - plan.label_ages_us, self._n_label_totals)
            for window in plan.of_labels:
                window.note_labels(values, totals.take(window.at, axis=0))
        for several in plan.lags:
            several.of(latest, target, values)
        return values


@dataclass(frozen=True)
class _Windows:
    """The columns of one window that have a role."""

    window: Window
    names: tuple[str, ...]
    at: Numbers
    """Places of their lengths among those of the key."""
    number: int | None
    """Place of the window's column among the raw numbers; None = it has none."""
    summed: int | None
    """Its place among the columns that are summed, of all orders or of known frauds."""

    @property
    def is_one(self) -> bool:
        """Whether there is one column, which is computed from single numbers."""
        return len(self.names) == 1

    def note_counts(self, into: dict[str, float], count: Numbers) -> None:
        """Note the columns, from how many orders are inside, [n] or one."""
        if self.is_one:
            into[self.names[0]] = window_value(self.window, math.nan, int(count), math.nan)
        else:
            _note(into, self.names, window_values(self.window, _NONE, count, _NONE))

    def note_sums(self, into: dict[str, float], totals: np.ndarray, own: np.ndarray) -> None:
        """Note the columns, from [n, T] or [T] totals of the orders inside and the order's raw numbers."""
        assert self.number is not None
        assert self.summed is not None
        value = own[self.number]
        if self.is_one:
            one = counted_and_summed_one(totals, self.summed)
            into[self.names[0]] = window_value(self.window, value.item(), *one)
        else:
            _note(
                into, self.names, window_values(self.window, value, *counted_and_summed(totals, self.summed))
            )

    def note_labels(self, into: dict[str, float], totals: np.ndarray) -> None:
        """Note the columns, from [n, T] or [T] totals of the labels inside."""
        if self.is_one:
            listed = totals[:OF_LABELS].tolist()
            if self.summed is not None:
                listed = counted_and_summed_one(totals, self.summed, OF_LABELS)
            into[self.names[0]] = window_value(self.window, math.nan, *listed)
            return
        counted = totals[..., 0], totals[..., 1]
        if self.summed is not None:
            counted = counted_and_summed(totals, self.summed, OF_LABELS)
        _note(into, self.names, window_values(self.window, _NONE, *counted))


@dataclass(frozen=True)
class _Lags:
    """The columns of lags of one statistic that have a role, all computed at once."""

    lag: Lag
    """One of them."""
    names: tuple[str, ...]
    back: Numbers
    """How far each looks back."""
    most_back: int
    places: Numbers
    """Of their columns among the raw categories or the raw numbers."""

    def of(self, latest: Records, target: Records, into: dict[str, float]) -> None:
        """Note the columns of an order, whose latest earlier ones are given."""
        n_earlier = len(latest)
        if self.lag.statistic == "gap" and len(self.names) == 1:
            gap_us = None
            if self.most_back <= n_earlier:
                gap_us = int(target.time_us[0] - latest.time_us[n_earlier - self.most_back])
            into[self.names[0]] = gap_value(self.lag, gap_us)
            return
        exists, at = self.back <= n_earlier, n_earlier - self.back
        if self.most_back > n_earlier:  # where there is no such earlier order, the order itself stands for it
            latest, at = Records.joined([latest, target]), np.where(exists, at, n_earlier)
        if self.lag.statistic == "gap":
            found = gap_values(self.lag, exists, target.time_us[0], latest.time_us[at])
        elif self.lag.statistic == "same":
            own, before = target.categories[0, self.places], latest.categories[at, self.places]
            found = same_values(exists, own, before, missing=NO_CATEGORY)
        else:
            own, before = target.numbers[0, self.places], latest.numbers[at, self.places]
            found = number_values(self.lag, exists, own, before)
        _note(into, self.names, found)


def _note(into: dict[str, float], names: tuple[str, ...], values: Numbers) -> None:
    """Note the columns' values."""
    if len(names) == 1:
        into[names[0]] = float(values)
    else:
        into.update(zip(names, values.tolist(), strict=True))


def _index(numbers: Sequence[int]) -> Numbers:
    """Several numbers as an array; one alone as it is."""
    return numbers[0] if len(numbers) == 1 else np.array(numbers)


@dataclass(frozen=True)
class _Plan:
    """What is computed over one key, so that its totals are read once for all windows."""

    ages_us: np.ndarray
    """0, then how long before the order each window's orders begin, int64."""
    counted: list[_Windows]
    """Windows that count orders."""
    summed: list[_Windows]
    """Windows that add a column of them up."""
    label_ages_us: np.ndarray
    """The same of windows over labels; in place of the 0, -1 at the end."""
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
            windows.append(_Windows(window, tuple(lengths), _index(at), number, summed))
        ages_us, label_ages_us = (np.array(each, np.int64) for each in (ages, [*label_ages, -1]))
        counted = [window for window in of_orders if window.summed is None]
        summing = [window for window in of_orders if window.summed is not None]
        positions, lags = _positions_and_lags(d, columns, kind)
        return cls(ages_us, counted, summing, label_ages_us, of_labels, positions, lags)


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
        lags.append(_Lags(group[0][0], names, _index(backs), max(backs), _index(places)))
    return positions, lags
