"""Columns about a key's earlier orders one by one: gaps, earlier values, whether a category is the same."""

from __future__ import annotations

from functools import partial

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.events.units import MICROSECONDS
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features.derived import KEY_ORDERING, signed_log, signed_log_of, whole_keys
from tsa_model.sequences.features.orderings import Ordering
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag

LONGEST_GAP_S = 1e7
"""As in a history, where times are capped (TSA spec, section 12)."""


def add_lag_columns(
    orders: Orders,
    ordering_name: str,
    ordering: Ordering,
    description: DatasetDescription,
    files: ColumnFiles,
) -> None:
    """Add the lag columns over one key that have a role to `orders`.

    Args:
        orders: all orders.
        ordering_name: "cid" or "ccid".
        ordering: that key's order.
        description: the lags and roles.
        files: where the columns are written, for they may not fit into memory together.
    """
    roles = {*description.numerical, *description.engineered}
    wanted = [
        (lag, name, back)
        for lag in description.lags
        if KEY_ORDERING[lag.key] == ordering_name
        for name, back in lag.columns().items()
        if name in roles
    ]
    folded = description.fold_text
    for lag, name, back in wanted:
        codes = orders.categorical[lag.column] if lag.statistic == "same" and lag.column else None
        codes = codes.folded() if codes is not None and folded else codes
        for first, last in whole_keys(ordering):
            files.append(f"lag by position {name}", _values(lag, back, orders, codes, ordering, first, last))
        by_row = np.empty(len(orders))
        by_row[ordering.rows] = files.read(f"lag by position {name}")
        files.put(f"lag {name}", by_row)
        orders.numerical.add(name, partial(files.read, f"lag {name}"))


def position_values(lag: Lag, n_earlier: np.ndarray) -> np.ndarray:
    """The `position` of orders that have so many earlier ones, [N] float64."""
    values = n_earlier.astype(np.float64)
    return signed_log(values) if lag.log else values


def _values(
    lag: Lag, back: int, orders: Orders, codes: Codes | None, ordering: Ordering, first: int, last: int
) -> np.ndarray:
    """The column at positions [first, last), float64; NaN where a number it needs is missing."""
    rows = ordering.rows[first:last]
    start, end = ordering.start[rows], ordering.end[rows]
    if lag.statistic == "position":
        return position_values(lag, end - start)
    exists = end - back >= start
    # An order that has no such earlier one stands for it itself.
    earlier = np.where(exists, ordering.rows[np.where(exists, end - back, 0)], rows)
    if lag.statistic == "gap":
        return gap_values(lag, exists, orders.time_us[rows], orders.time_us[earlier])
    if codes is not None:
        return same_values(exists, codes.code[rows], codes.code[earlier], missing=-1)
    assert lag.column is not None
    column = orders.numerical[lag.column]
    return number_values(lag, exists, column[rows], column[earlier])


def gap_values(lag: Lag, exists: np.ndarray, own_us: np.ndarray, before_us: np.ndarray) -> np.ndarray:
    """Seconds since the earlier order, at most `LONGEST_GAP_S`, which stand for "there is none"; [N] float64.

    Args:
        lag: says whether their logarithm is taken.
        exists: [N] bool, whether there is such an earlier order.
        own_us: [N] int64, the orders' moments.
        before_us: [N] int64, the earlier orders'.
    """
    gap_s = (own_us - before_us) / MICROSECONDS
    values = np.minimum(np.where(exists, gap_s, LONGEST_GAP_S), LONGEST_GAP_S)
    return signed_log(values) if lag.log else values


def position_value(lag: Lag, n_earlier: int) -> float:
    """`position_values` of one order."""
    return signed_log_of(float(n_earlier)) if lag.log else float(n_earlier)


def gap_value(lag: Lag, gap_us: int | None) -> float:
    """`gap_values` of one order, so long after the earlier one; None = there is none."""
    gap_s = LONGEST_GAP_S if gap_us is None else min(gap_us / MICROSECONDS, LONGEST_GAP_S)
    return signed_log_of(gap_s) if lag.log else gap_s


def same_values(exists: np.ndarray, own: np.ndarray, before: np.ndarray, missing: int) -> np.ndarray:
    """1 where the earlier order's category is the order's own and not missing, else 0; [N] float64."""
    return (exists & (own != missing) & (own == before)).astype(np.float64)


def number_values(lag: Lag, exists: np.ndarray, own: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The earlier order's number, or the own one against it, [N] float64; NaN where one is missing.

    Args:
        lag: says which.
        exists: [N] bool, whether there is such an earlier order.
        own: [N] float64, the orders' numbers.
        before: [N] float64, the earlier orders'; where there is none, the own one.
    """
    if lag.statistic == "value":
        return signed_log(before) if lag.log else before
    if lag.statistic == "difference":
        return own - before
    ratio = np.divide(own, before, out=np.ones_like(own), where=before != 0)
    return np.where(exists, ratio, np.where(np.isnan(own), np.nan, 1.0))
