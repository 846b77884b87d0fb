"""Derived columns of one order, by hand: the calendar, windows, lags and logarithms."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tsa_model.events.units import DAY_US, MICROSECONDS
from tsa_model.settings.derived import Lag, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_NIGHT_HOUR = 6
SATURDAY = 5
LONGEST_GAP_S = 1e7


def calendar_value(name: str, time_us: int) -> int:
    """`hour`, `weekday` (0 = Monday), `weekend` or `night` of a moment, UTC."""
    moment = EPOCH + timedelta(microseconds=time_us)
    values = {
        "hour": moment.hour,
        "weekday": moment.weekday(),
        "weekend": int(moment.weekday() >= SATURDAY),
        "night": int(moment.hour <= LAST_NIGHT_HOUR),
    }
    return values[name]


def window_value(
    window: Window,
    days: float,
    age_us: NDArray[np.int64],
    known_for_us: NDArray[np.int64],
    label: NDArray[np.int64],
    value: NDArray[np.float64] | None,
    own: float,
) -> float:
    """A window's statistic for one order.

    Args:
        window: the statistic.
        days: length.
        age_us: [n] how much earlier each of the key's strictly earlier orders was, > 0.
        known_for_us: [n] for how long their labels have been known; negative = they will be known later.
        label: [n] their labels, -1 = not known.
        value: [n] their values of the window's column, NaN = missing; None for the other statistics.
        own: the order's own value of that column.

    Returns:
        The statistic; NaN where it needs a value that the order lacks.
    """
    length_us = round(days * DAY_US)
    if window.statistic == "count":
        return float((age_us < length_us).sum())
    known = (known_for_us >= 0) & (known_for_us < length_us) & (label >= 0)
    if window.statistic == "fraud_mean" and value is not None:
        of_frauds = value[known & (label == 1) & ~np.isnan(value)].tolist()
        return math.fsum(of_frauds) / len(of_frauds) if of_frauds else 0.0
    if value is None:
        if window.statistic == "label_count":
            return float(known.sum())
        return float(label[known].mean()) if known.any() else 0.0
    inside = value[(age_us < length_us) & ~np.isnan(value)].tolist()
    mean = math.fsum(inside) / len(inside) if inside else 0.0
    if window.statistic == "mean":
        return mean
    if window.statistic == "difference":
        return own - mean if inside else 0.0 * own
    if math.isnan(own):
        return math.nan
    return own / mean if mean else 1.0


def lag_value(lag: Lag, n_earlier: int, gap_us: int | None, own: float, before: float) -> float:
    """A lag's column of one order, but for `same`.

    Args:
        lag: the statistic.
        n_earlier: number of the key's strictly earlier orders.
        gap_us: how much earlier the order looked back at was; None = there are not so many.
        own: the order's own value of the lag's column, NaN = missing.
        before: that of the order looked back at.

    Returns:
        The value; NaN where it needs one that is missing.
    """
    if lag.statistic == "position":
        value = float(n_earlier)
    elif lag.statistic == "gap":
        value = LONGEST_GAP_S if gap_us is None else min(gap_us / MICROSECONDS, LONGEST_GAP_S)
    elif lag.statistic == "value":
        value = own if gap_us is None else before
    elif lag.statistic == "difference":
        return 0.0 * own if gap_us is None else own - before
    elif gap_us is None:
        return 1.0 + 0.0 * own
    else:
        return own / before if before else 1.0
    return log_value(value) if lag.log else value


def log_value(x: float) -> float:
    """log(1 + |x|) with the sign of x."""
    return math.copysign(math.log1p(abs(x)), x)
