"""Running totals: what a key's orders, or its labels, add up to, as whole numbers.

A block states the totals of all that lies before it, dropped orders too. So a window over a million orders
reads two blocks, and an order's position in its key's sequence is one number.
"""

from __future__ import annotations

import numpy as np

from tsa_model.online.layouts import OF_ORDERS, PER_COLUMN, Layout
from tsa_model.online.records import Records
from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.derived import FRAUD


def totals_of(records: Records, layout: Layout, out: np.ndarray | None = None) -> np.ndarray:
    """What each order or label adds to the totals, [N, T] int64.

    An order adds 1, and for every summed column what `exact_sums.cut` makes of it; a label adds 1, itself,
    and if it is fraud what is made of every summed column. No record holds a number that is too large for it:
    a log with one cannot be loaded, and `OrderReader` refuses such an order.

    Args:
        records: the orders or labels.
        layout: of their stream.
        out: where they are put; None = into a new array.
    """
    totals = np.empty((len(records), layout.width), np.int64) if out is None else out
    totals[:, 0] = 1
    if layout.of_labels:
        totals[:, 1] = records.label
    if layout.summed:
        values = records.numbers.take(layout.places, axis=1)
        if layout.of_labels:
            values[records.label != FRAUD] = np.nan
        by_column = totals[:, layout.head :].reshape(len(records), len(layout.summed), PER_COLUMN)
        by_column[..., 0] = ~np.isnan(values)
        by_column[..., 1:] = exact_sums.often_of(values)
    return totals


def running_totals(before: np.ndarray, records: Records, layout: Layout) -> np.ndarray:
    """The totals before each order or label, and after the last, [N + 1, T] int64.

    Args:
        before: [T] int64, the totals before the first.
        records: the orders or labels.
        layout: of their stream.
    """
    running = np.empty((len(records) + 1, layout.width), np.int64)
    running[0] = before
    totals_of(records, layout, running[1:])
    return running.cumsum(axis=0, out=running)


def counted_and_summed(
    totals: np.ndarray, place: int, head: int = OF_ORDERS
) -> tuple[np.ndarray, np.ndarray]:
    """How many orders have a value in a summed column, and the sum of those values; [...] each.

    Args:
        totals: [..., T] int64, differences of two totals each.
        place: of the column among the summed ones.
        head: `OF_ORDERS`, or `OF_LABELS` where they are totals of labels.
    """
    first = head + PER_COLUMN * place
    return totals[..., first], exact_sums.summed(totals[..., first + 1 : first + PER_COLUMN])


def counted_and_summed_one(totals: np.ndarray, place: int, head: int = OF_ORDERS) -> tuple[int, float]:
    """The same of [T] totals."""
    first = head + PER_COLUMN * place
    count, *often = totals[first : first + PER_COLUMN].tolist()
    return count, exact_sums.summed_one(often)
