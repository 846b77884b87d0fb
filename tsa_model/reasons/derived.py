"""Columns that are computed from a history, computed anew from what is left of it.

A count of a card's orders that stays 7 while the orders are taken away would be a reason of its own, and the
orders none. So these columns follow their orders. What a history no longer shows, because it is cut at
`seq_len`, stays as it is: a column changes by as much as the same column over the visible orders does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsa_model.reasons.parts import Side
from tsa_model.reasons.values import DAY
from tsa_model.sequences.features.derived import signed_log, window_values
from tsa_model.sequences.features.lags import LONGEST_GAP_S
from tsa_model.sequences.features.preprocessing import Preprocessing, Scaler
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import ABOUT_LABELS, Lag, Window

NOT_NEGATIVE = ("count", "label_count", "label_rate", "gap", "position")


@dataclass(frozen=True)
class DerivedColumn:
    """One of them.

    Attributes:
        name: of the column.
        made: how it is computed.
        extent: days of a window, or how many orders a lag looks back.
        places: among the numerical and engineered features, one after the other.
        scaler: of each place.
        delay_s: until a label counts.
    """

    name: str
    made: Window | Lag
    extent: float
    places: tuple[int, ...]
    scaler: tuple[Scaler, ...]
    delay_s: float

    @property
    def side(self) -> Side:
        """Whose history it is computed from."""
        return self.made.key

    @property
    def is_log(self) -> bool:
        """The network sees its logarithm."""
        return isinstance(self.made, Lag) and self.made.log


@dataclass(frozen=True)
class VisibleHistory:
    """The n earlier orders of a history, the latest first, and the order itself.

    Attributes:
        ago_s: [n] seconds before the order.
        label: [n] 1, 0, or NaN where it is not known.
        values: column → [n] numbers, or indices of categories.
        own: column → the order's own.
    """

    ago_s: NDArray[np.float64]
    label: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]
    own: Mapping[str, float]


def derived_columns(dataset: DatasetDescription, fitted: Preprocessing) -> tuple[DerivedColumn, ...]:
    """Those that can be computed anew from what the network sees of a history."""
    numbers = [*fitted.numerical.items(), *fitted.engineered.items()]
    seen = {*fitted.numerical, *fitted.categorical}
    found = []
    both: tuple[Window | Lag, ...] = (*dataset.windows, *dataset.lags)
    for made in both:
        if made.column is not None and made.column not in seen:
            continue
        # The tensors say which labels are known, but since when only where the delay is fixed.
        if made.statistic in ABOUT_LABELS and (not dataset.known_label or dataset.label_time is not None):
            continue
        for name, extent in made.columns().items():
            places = tuple(k for k, (column, _) in enumerate(numbers) if column == name)
            scalers = tuple(numbers[k][1] for k in places)
            delay_s = dataset.label_delay_days * DAY if made.statistic in ABOUT_LABELS else 0.0
            if places:
                found.append(DerivedColumn(name, made, float(extent), places, scalers, delay_s))
    return tuple(found)


class FollowedColumn:
    """One column of an order whose history loses orders.

    Args:
        column: which one.
        history: all orders of its side.
        actual: the value that the network sees with all of them.
    """

    def __init__(self, column: DerivedColumn, history: VisibleHistory, actual: float) -> None:
        self.column, self._history = column, history
        every = np.ones((1, history.ago_s.size), dtype=bool)
        self._alone = _computed(column, history, ~every)
        self._with_all = _computed(column, history, every)
        self._actual = _inverse(actual) if column.is_log else actual

    def values(self, there: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The column's value, not scaled, for each mixture of the history's orders.

        Args:
            there: [N, n] which of them are present.
        """
        moved = self._actual + _computed(self.column, self._history, there) - self._with_all
        values = np.where(there.any(axis=1), moved, self._alone)
        if self.column.made.statistic in NOT_NEGATIVE:
            values = np.maximum(values, 0.0)
        return signed_log(values) if self.column.is_log else values


def _inverse(value: float) -> float:
    return float(np.copysign(np.expm1(min(abs(value), 700.0)), value))


def _computed(
    column: DerivedColumn, history: VisibleHistory, there: NDArray[np.bool_]
) -> NDArray[np.float64]:
    if isinstance(column.made, Window):
        return _window(column, column.made, history, there)
    return _lag(column, column.made, history, there)


def _window(
    column: DerivedColumn, made: Window, history: VisibleHistory, there: NDArray[np.bool_]
) -> NDArray[np.float64]:
    values = np.ones(history.ago_s.size)
    own = 0.0
    if made.column is not None:
        values, own = history.values[made.column], history.own[made.column]
        if made.is_about_labels:
            values = np.where(history.label == 1, values, np.nan)
    elif made.is_about_labels:
        values = history.label
    inside = (history.ago_s >= column.delay_s) & (history.ago_s < column.delay_s + column.extent * DAY)
    counted = there & (inside & ~np.isnan(values))
    total = counted @ np.nan_to_num(values)
    return window_values(made, np.full(len(there), own), counted.sum(axis=1), total)


def _lag(
    column: DerivedColumn, made: Lag, history: VisibleHistory, there: NDArray[np.bool_]
) -> NDArray[np.float64]:
    if made.statistic == "position":
        return there.sum(axis=1).astype(np.float64)
    picked = there & (np.cumsum(there, axis=1) == column.extent)
    exists = picked.any(axis=1)
    at = picked.argmax(axis=1) if picked.shape[1] else np.zeros(len(there), dtype=np.intp)

    def of_it(values: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
        return np.where(exists, values[at] if values.size else otherwise, otherwise)

    if made.statistic == "gap":
        return np.minimum(of_it(history.ago_s, LONGEST_GAP_S), LONGEST_GAP_S)
    assert made.column is not None
    own = history.own[made.column]
    before = of_it(history.values[made.column], own)
    if made.statistic == "same":
        return (exists & (before == own)).astype(np.float64)
    if made.statistic == "value":
        return before
    if made.statistic == "difference":
        return own - before
    ratio = np.divide(own, before, out=np.ones_like(before), where=before != 0)
    return np.where(exists, ratio, 1.0)
