"""How a stream's orders or labels lie in its blocks, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsa_model.sequences.features import exact_sums

PER_COLUMN = 1 + len(exact_sums.UNITS)
"""Of a column: how many orders have a value, then how often each unit is in them."""
OF_ORDERS, OF_LABELS = 1, 2
"""Whole numbers before those of the columns: how many; of labels also how many are frauds."""


@dataclass(frozen=True)
class Layout:
    """Of one stream; it is made once for a store's columns."""

    n_categories: int
    """Of each order; labels have none."""
    n_numbers: int
    summed: tuple[int, ...]
    """Places of the numbers that are added up."""
    of_labels: bool = False

    @cached_property
    def head(self) -> int:
        """Whole numbers of a total before those of the summed columns."""
        return OF_LABELS if self.of_labels else OF_ORDERS

    @cached_property
    def width(self) -> int:
        """T, whole numbers of a running total."""
        return self.head + PER_COLUMN * len(self.summed)

    @cached_property
    def places(self) -> np.ndarray:
        """`summed`, as an index."""
        return np.array(self.summed, np.intp)
