"""Events as plain columns, and the form of a data set that stores are written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.events.units import to_us
from tsa_model.sequences.columns.column_files import FileColumns


@dataclass(kw_only=True)
class Columns:
    """Events, one array per column; the arrays may be memory-mapped, so use them one by one."""

    time_us: np.ndarray
    """[N] int64, microseconds since 1970-01-01 UTC."""
    label: np.ndarray
    """[N] int8; -1 = not yet known."""
    known_us: np.ndarray | None = None
    """[N] int64, from when on each label is known; None = `label_delay_days` after its order."""
    categorical: FileColumns[Codes] = field(default_factory=FileColumns)
    numerical: FileColumns[np.ndarray] = field(default_factory=FileColumns)
    """[N] float64 each; NaN = missing."""

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(kw_only=True)
class Orders(Columns):
    """All orders sorted by (time, order id); a row number in this order is an order's name everywhere."""

    order_id: np.ndarray
    """[N] int64, or UTF-8 bytes of fixed width."""

    def between(self, start: datetime, end: datetime) -> slice:
        """Row numbers of the orders in [start, end)."""
        first, last = np.searchsorted(self.time_us, [to_us(start), to_us(end)], side="left")
        return slice(int(first), int(last))


@dataclass(kw_only=True)
class KeyedEvents:
    """The sorted events of one key; its sequences are slices of them."""

    columns: Columns
    places: FileColumns[np.ndarray]
    """int32: `rows` [M], which event of `columns` lies at each position; and for each order, [N], its
    `position`, and `start` and `end` of the positions of its history."""


@dataclass(kw_only=True)
class Prepared:
    """A data set of either layout, before anything is fitted."""

    orders: Orders
    keyed: dict[str, KeyedEvents]
    """"cid" and, in a data set with two keys, "ccid"."""
    n_quarantined: int
