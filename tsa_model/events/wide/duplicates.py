"""Wide rows that share an order id: of exact duplicates the first is kept, of others none."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags
from tsa_model.events.wide.texts import TextRows


class RepeatedOrders:
    """The order ids that more than one row has."""

    def __init__(self, conflicting: pa.Array, duplicated: pa.Array) -> None:
        self._conflicting, self._duplicated = conflicting, duplicated
        self._seen: set[Any] = set()

    @classmethod
    def find(
        cls, parts: Callable[[Sequence[str]], Iterable[tuple[pa.Table, pa.Array]]], columns: Sequence[str]
    ) -> RepeatedOrders:
        """Look through all rows, and a second time through all columns of those whose ids are repeated.

        Args:
            parts: reads columns anew, the order id first: yields rows, and their ids as they are cast.
            columns: every column that is used, the order id first.
        """
        ids = [one for _, one in parts(columns[:1])]
        counts = pc.value_counts(pa.chunked_array(ids, ids[0].type if ids else pa.int64()))
        repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        repeated = pc.drop_null(repeated)
        if not len(repeated):
            return cls(repeated, repeated)
        digests: dict[Any, set[bytes]] = defaultdict(set)
        for part, part_ids in parts(columns):
            rows = np.flatnonzero(flags(pc.is_in(part_ids, repeated)))
            if not len(rows):
                continue
            texts = TextRows(part.take(pa.array(rows)), columns, "the rows")
            values = zip(*(texts.column(name).to_pylist() for name in columns), strict=True)
            for id_, row in zip(part_ids.take(pa.array(rows)).to_pylist(), values, strict=True):
                digests[id_].add(hashlib.sha256("\0".join(row).encode()).digest())
        is_same = pa.array([len(digests[id_]) == 1 for id_ in repeated.to_pylist()], pa.bool_())
        return cls(repeated.filter(pc.invert(is_same)), repeated.filter(is_same))

    def later_copies(self, ids: pa.Array) -> np.ndarray:
        """Rows whose exact duplicate was seen before, [n] bool; call it once for every part, in order."""
        copies = np.zeros(len(ids), dtype=bool)
        for row in np.flatnonzero(flags(pc.is_in(ids, self._duplicated))):
            id_ = ids[int(row)].as_py()
            copies[row] = id_ in self._seen
            self._seen.add(id_)
        return copies

    def conflicts(self, ids: pa.Array) -> np.ndarray:
        """Rows whose order id another row has that says something else, ascending row numbers."""
        return np.flatnonzero(flags(pc.is_in(ids, self._conflicting)))
