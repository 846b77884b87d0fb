"""The first reason why a row cannot be used."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tsa_model.events.arrays import shown


class Problems:
    """One reason and one raw value per bad row."""

    def __init__(self, n_rows: int) -> None:
        self._reason = np.full(n_rows, None, dtype=object)
        self._value = np.full(n_rows, None, dtype=object)

    def note(self, column: str, raw: pa.Array | pa.ChunkedArray, bad: np.ndarray, reason: str) -> None:
        """Note a reason for the rows where `bad`, [n] bool, unless they have one already."""
        self.note_rows(column, raw, np.flatnonzero(bad), reason)

    def note_rows(self, column: str, raw: pa.Array | pa.ChunkedArray, rows: np.ndarray, reason: str) -> None:
        """Note a reason for some row numbers."""
        rows = np.array([row for row in np.unique(rows) if self._reason[row] is None], dtype=np.int64)
        if len(rows):
            self._reason[rows] = f"column {column}: {reason}"
            self._value[rows] = shown(raw, rows)

    def columns(self) -> dict[str, pa.Array]:
        """`problem` and `value`, text, null in good rows."""
        return {
            "problem": pa.array(self._reason, pa.string()),
            "value": pa.array(self._value, pa.string()),
        }
