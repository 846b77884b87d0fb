"""Running totals: what a key's orders, or its labels, add up to, as whole numbers.

A block states the totals of all that lies before it, dropped orders too. So a window over a million orders
reads two blocks, and an order's position in its key's sequence is one number.
"""

from __future__ import annotations

import numpy as np

from tsa_model.online.history import KINDS, Columns, Stream
from tsa_model.online.records import Records
from tsa_model.sequences.features import exact_sums

PER_COLUMN = 1 + len(exact_sums.UNITS)
"""Of a column: how many orders have a value, then how often each unit is in them."""


def width(columns: Columns, stream: Stream) -> int:
    """T, whole numbers of a running total."""
    return 1 + PER_COLUMN * len(columns.summed) if stream in KINDS else 2


def totals_of(records: Records, columns: Columns, stream: Stream) -> np.ndarray:
    """What each order or label adds to the totals, [N, T] int64.

    An order adds 1, and for every column in `columns.summed` what `exact_sums.cut` makes of it; a label adds
    1 and itself.

    Raises:
        BadEvents: a number is too large to be summed.
    """
    totals = np.empty((len(records), width(columns, stream)), np.int64)
    totals[:, 0] = 1
    if stream not in KINDS:
        totals[:, 1] = records.label
        return totals
    if columns.summed:
        values = records.numbers[:, [columns.numerical.index(name) for name in columns.summed]]
        for place, name in enumerate(columns.summed):
            exact_sums.check(name, values[:, place])
        by_column = totals[:, 1:].reshape(len(records), len(columns.summed), PER_COLUMN)
        by_column[..., 0] = ~np.isnan(values)
        for at, (_, whole) in enumerate(exact_sums.cut(values), 1):
            by_column[..., at] = whole
    return totals


def counted_and_summed(totals: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """How many orders have a value in a summed column, and the sum of those values; [N] each.

    Args:
        totals: [N, T] int64, differences of two totals each.
        place: of the column among the summed ones.
    """
    first = 1 + PER_COLUMN * place
    units = zip(exact_sums.UNITS, totals[:, first + 1 : first + PER_COLUMN].T, strict=True)
    return totals[:, first], exact_sums.joined(units, len(totals))
