"""Parquet files: checked before they are believed; a long text that is repeated is kept once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsa_model.events.arrays import is_text
from tsa_model.events.errors import BadEvents

BUFFER_BYTES = 2**20
LARGE_BYTES = 4 * 2**30
MAX_INFLATION = 2_000
"""A Parquet file may claim this many bytes of values per byte on disk; asked only above `LARGE_BYTES`."""


def parquet_schema(path: Path) -> pa.Schema:
    """Names and types of the columns."""
    check_marks(path)
    return pq.read_schema(path)


def parquet_parts(path: Path, columns: Sequence[str], most_rows: int) -> Iterator[pa.Table]:
    """Read columns.

    Raises:
        BadEvents: the file is none, or claims absurdly many rows.
        pa.ArrowException, OSError, EOFError: the file is damaged.
    """
    check_marks(path)
    options: dict[str, Any] = {
        "page_checksum_verification": True,
        "pre_buffer": False,
        "buffer_size": BUFFER_BYTES,
    }
    schema = pq.ParquetFile(path, **options).schema_arrow
    # A dictionary keeps a long text that is repeated a million times once, until its length is known.
    text = [name for name in columns if is_text(schema.field(name).type)]
    with pq.ParquetFile(path, read_dictionary=text, **options) as file:
        claimed = file.metadata.num_rows * len(columns) * 8
        if claimed > max(LARGE_BYTES, MAX_INFLATION * path.stat().st_size):
            raise BadEvents(
                f"{path} claims {file.metadata.num_rows:,} rows in {path.stat().st_size:,} bytes: refused"
            )
        n_rows = 0
        for batch in file.iter_batches(most_rows, columns=list(columns)):
            n_rows += batch.num_rows
            yield pa.Table.from_batches([batch]).select(list(columns))
        if n_rows != file.metadata.num_rows:
            raise BadEvents(f"{path} claims {file.metadata.num_rows:,} rows and holds {n_rows:,}")


def check_marks(path: Path) -> None:
    """Refuse what does not begin and end as a Parquet file does."""
    with open(path, "rb") as stream:
        head = stream.read(4)
        stream.seek(-min(4, path.stat().st_size), io.SEEK_END)
        tail = stream.read(4)
    if head != b"PAR1":
        raise BadEvents(f"{path} is not a Parquet file: it begins with {head!r} instead of b'PAR1'")
    if tail != b"PAR1":
        raise BadEvents(f"{path} is truncated: it ends with {tail!r} instead of b'PAR1'")
