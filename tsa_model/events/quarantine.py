"""Rows that cannot be used: counted with an example per reason, and set aside or refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tsa_model.events.arrays import as_text, shown
from tsa_model.events.errors import BadEvents
from tsa_model.settings.dataset import DatasetDescription

QUARANTINE = "quarantine.csv"
MAX_SHOWN = 10
REPEATED = "more than one row has this order id"


class BadRows:
    """Collects the bad rows of one log; a context manager, for the quarantine file it may write."""

    def __init__(self, description: DatasetDescription, path: Path) -> None:
        self.reasons: Counter[str] = Counter()
        """Reason → number of rows; a row counts once, under its first reason."""
        self._limit = description.max_bad_share if description.on_bad_rows == "quarantine" else 0.0
        self._keeps_rows = description.on_bad_rows == "quarantine"
        self._path = path
        self._examples: dict[str, str] = {}
        self._writer: pa_csv.CSVWriter | None = None

    def __enter__(self) -> BadRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def n_rows(self) -> int:
        """Number of bad rows."""
        return sum(self.reasons.values())

    def add(
        self, origin: str, order_ids: pa.Array, reasons: pa.Array, values: pa.Array, rows: pa.Table
    ) -> None:
        """Note bad rows.

        Args:
            origin: the file they come from.
            order_ids: [n] their order ids, as far as they have one.
            reasons: [n] text, one reason each.
            values: [n] text, the raw value behind the reason.
            rows: [n] the rows as they came, for the quarantine file.
        """
        for entry in pc.value_counts(reasons):
            reason = entry["values"].as_py()
            self.reasons[reason] += entry["counts"].as_py()
            if reason not in self._examples:
                first = pc.index(reasons, reason).as_py()
                (order,) = shown(order_ids, [first]).to_pylist()
                self._examples[reason] = f"{values[first].as_py()!r} (order {order}, {origin})"
        if self._keeps_rows and len(rows):
            self._write(origin, reasons, values, rows)

    def _write(self, origin: str, reasons: pa.Array, values: pa.Array, rows: pa.Table) -> None:
        why = {"_problem": reasons, "_value": values, "_file": pa.repeat(origin, len(rows))}
        table = pa.table(why | {name: as_text(rows[name]) for name in rows.column_names})
        if self._writer is None:
            self._schema = table.schema
            self._writer = pa_csv.CSVWriter(self._path, table.schema)
        assert table.schema == self._schema, "rows of one log have the same columns"
        self._writer.write_table(table)

    def check(self, n_rows: int) -> None:
        """Raise `BadEvents` when there are more bad rows than the description tolerates.

        Args:
            n_rows: rows read, the bad ones included.
        """
        if self.n_rows <= self._limit * n_rows:
            return
        allowed = f"max_bad_share={self._limit}" if self._keeps_rows else "on_bad_rows=stop"
        shown = [
            f"  {reason}: {count:,} rows, e.g. {self._examples[reason]}"
            for reason, count in self.reasons.most_common(MAX_SHOWN)
        ]
        raise BadEvents(
            f"{self.n_rows:,} of {n_rows:,} rows cannot be used ({allowed}):\n" + "\n".join(shown)
        )
