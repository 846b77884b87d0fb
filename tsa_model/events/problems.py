"""The first reason why a row cannot be used."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import shown


class Problems:
    """One reason and one raw value per bad row."""

    def __init__(self, n_rows: int) -> None:
        self.bad = np.zeros(n_rows, dtype=bool)
        """[n] bool, rows with a reason."""
        self._reasons: list[str] = []
        self._values: list[pa.Array] = []
        self._reason_place = np.full(n_rows, -1, dtype=np.int32)
        self._value_place = np.full(n_rows, -1, dtype=np.int64)
        self._n_values = 0

    def note(self, column: str, raw: pa.Array | pa.ChunkedArray, bad: np.ndarray, reason: str) -> None:
        """Note a reason for the rows where `bad`, [n] bool, unless they have one already."""
        rows = np.flatnonzero(bad & ~self.bad)
        if not len(rows):
            return
        self.bad[rows] = True
        self._reason_place[rows] = len(self._reasons)
        self._reasons.append(f"column {column}: {reason}")
        self._value_place[rows] = self._n_values + np.arange(len(rows))
        self._values.append(shown(raw, rows))
        self._n_values += len(rows)

    def columns(self) -> dict[str, pa.Array]:
        """`problem` and `value`, text, null in good rows."""
        values = pa.concat_arrays([pa.array([], pa.string()), *self._values])
        return {
            "problem": _taken(pa.array(self._reasons, pa.string()), self._reason_place),
            "value": _taken(values, self._value_place),
        }


def _taken(texts: pa.Array, places: np.ndarray) -> pa.Array:
    """The texts at some places; null where a place is -1."""
    return pc.take(texts, pa.array(places, mask=places < 0))
