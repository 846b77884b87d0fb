"""Writers of the validated events and of the rows set aside."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.whole import Repeated
from tsa_model.events.arrays import flags
from tsa_model.events.errors import BadEvents
from tsa_model.events.quarantine import BadRows
from tsa_model.files import atomic_file
from tsa_model.settings.dataset import DatasetDescription


class CanonicalFile:
    """A Parquet file whose types the first part decides."""

    def __init__(self, path: Path, compression: str = "zstd") -> None:
        self._path, self._compression = path, compression
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> CanonicalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, origin: str, table: pa.Table) -> None:
        """Append rows.

        Args:
            origin: the file they come from.
            table: the rows, in canonical types.

        Raises:
            BadEvents: an id has another type than in the first rows.
        """
        if self._writer is None:
            options: dict[str, Any] = {"compression": self._compression, "write_page_checksum": True}
            self._writer = pq.ParquetWriter(self._path, table.schema, **options)
        for name in table.column_names:
            here, first = table.schema.field(name).type, self._writer.schema.field(name).type
            if here != first:
                raise BadEvents(f"{origin}: column {name} is {here} here and {first} in the first rows")
        self._writer.write_table(table)


class RowsAside:
    """The side file of `on_bad_rows: quarantine`; it appears only when the whole check went through."""

    def __init__(self, dataset: DatasetDescription, path: Path) -> None:
        self._keeps_rows = dataset.on_bad_rows == "quarantine"
        self._order_id = dataset.order_id
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._rows = BadRows(dataset, self._temporary)

    def __enter__(self) -> RowsAside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.__exit__(kind, error, trace)
        self._path.unlink(missing_ok=True)  # of an earlier try
        if self._temporary.exists():
            os.replace(self._temporary, self._path)

    def add(self, origin: str, reasons: pa.Array, values: pa.Array, rows: pa.Table) -> None:
        """Set rows aside, if the description says so.

        Args:
            origin: the file they come from.
            reasons: [n] text.
            values: [n] text, the raw values behind the reasons.
            rows: [n] the rows as they came.
        """
        if self._keeps_rows:
            self._rows.add(origin, rows[self._order_id], reasons, values, rows)


def without_repeated(events: Path, order_id: str, repeated: Repeated, aside: RowsAside) -> None:
    """Rewrite the validated events with each exact duplicate once, and set contradicting rows aside.

    Args:
        events: validated events, rewritten in place.
        order_id: the id column.
        repeated: what was found.
        aside: where the rows go that share an id and differ.
    """
    unique = repeated.findings[0]
    reason = f'column {unique.column}: not so: "{unique.sentence}"'
    seen: set[Any] = set()
    with atomic_file(events) as temporary, CanonicalFile(temporary) as file, pq.ParquetFile(events) as old:
        type_ = old.schema_arrow.field(order_id).type
        conflicting, duplicated = pa.array(repeated.conflicting, type_), pa.array(repeated.duplicated, type_)
        for batch in old.iter_batches():
            table = pa.Table.from_batches([batch])
            bad = pc.is_in(table[order_id], conflicting)
            rows = table.filter(bad)
            if len(rows):
                reasons = pa.repeat(reason, len(rows))
                aside.add("the good rows", reasons, rows[order_id].cast(pa.string()), rows)
            keep = ~flags(bad.combine_chunks())
            for row in np.flatnonzero(flags(pc.is_in(table[order_id], duplicated).combine_chunks())):
                id_ = table[order_id][int(row)].as_py()
                keep[row] = id_ not in seen
                seen.add(id_)
            file.write(str(events), table.filter(pa.array(keep)))
