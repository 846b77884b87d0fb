"""Running totals: what a key's orders, or its labels, add up to, as whole numbers.

A block states the totals of all that lies before it, dropped orders too. So a window over a million orders
reads two blocks, and an order's position in its key's sequence is one number.
"""

from __future__ import annotations

import numpy as np

from tsa_model.online.history import KINDS, Columns, Stream
from tsa_model.online.records import Records
from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.derived import FRAUD

PER_COLUMN = 1 + len(exact_sums.UNITS)
"""Of a column: how many orders have a value, then how often each unit is in them."""
OF_ORDERS, OF_LABELS = 1, 2
"""Whole numbers before those of the columns: how many; of labels also how many are frauds."""


def sizes(columns: Columns, stream: Stream) -> tuple[int, int]:
    """How many categories and numbers a stream holds of each order or label."""
    return (
        (len(columns.categorical), columns.n_numbers) if stream in KINDS else (0, len(columns.fraud_summed))
    )


def width(columns: Columns, stream: Stream) -> int:
    """T, whole numbers of a running total."""
    if stream in KINDS:
        return OF_ORDERS + PER_COLUMN * len(columns.summed)
    return OF_LABELS + PER_COLUMN * len(columns.fraud_summed)


def totals_of(records: Records, columns: Columns, stream: Stream) -> np.ndarray:
    """What each order or label adds to the totals, [N, T] int64.

    An order adds 1, and for every column in `columns.summed` what `exact_sums.cut` makes of it; a label adds
    1, itself, and if it is fraud what is made of every column in `columns.fraud_summed`. No record holds a
    number that is too large for it: a log with one cannot be loaded, and `OrderReader` refuses such an order.
    """
    totals = np.empty((len(records), width(columns, stream)), np.int64)
    totals[:, 0] = 1
    if stream in KINDS:
        names, head = columns.summed, OF_ORDERS
        values = records.numbers[:, [columns.numerical.index(name) for name in names]]
    else:
        totals[:, 1] = records.label
        names, head = columns.fraud_summed, OF_LABELS
        values = np.where(records.label[:, None] == FRAUD, records.numbers, np.nan)
    if names:
        by_column = totals[:, head:].reshape(len(records), len(names), PER_COLUMN)
        by_column[..., 0] = ~np.isnan(values)
        for at, (_, whole) in enumerate(exact_sums.cut(values), 1):
            by_column[..., at] = whole
    return totals


def counted_and_summed(
    totals: np.ndarray, place: int, head: int = OF_ORDERS
) -> tuple[np.ndarray, np.ndarray]:
    """How many orders have a value in a summed column, and the sum of those values; [N] each.

    Args:
        totals: [N, T] int64, differences of two totals each.
        place: of the column among the summed ones.
        head: `OF_ORDERS`, or `OF_LABELS` where they are totals of labels.
    """
    first = head + PER_COLUMN * place
    units = zip(exact_sums.UNITS, totals[:, first + 1 : first + PER_COLUMN].T, strict=True)
    return totals[:, first], exact_sums.joined(units, len(totals))
