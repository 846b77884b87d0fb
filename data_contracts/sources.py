"""Opening raw event files: CSV, gzipped CSV, Parquet, one file or a folder, in parts of bounded size.

Nothing is guessed: text files are read as text and cast later by the column's description, an empty field
is the only missing value, and a file that is not what its name says is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data_contracts.findings import ContractViolation

PART_CELLS = 8_000_000
"""Values held in memory at a time, roughly."""
CSV_BLOCK_BYTES = 16 * 2**20
MAX_BYTES_PER_BYTE = 2_000
"""Values (8 bytes each) a Parquet file may claim per byte on disk before it is taken for an attack ..."""
UNSUSPICIOUS_BYTES = 4 * 2**30
"""... which is only asked of files that claim more than this."""
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}


@dataclass(frozen=True)
class EventFile:
    """One raw file."""

    path: Path
    format: str

    @property
    def is_text(self) -> bool:
        """Whether every value arrives as text, its type still open."""
        return self.format == "csv"

    def __str__(self) -> str:
        return str(self.path)

    def schema(self) -> pa.Schema:
        """Names and types as they are in the file; every column of a CSV is text.

        Raises:
            ContractViolation: the file is empty, not of its format, damaged, or names a column twice.
        """
        if self.path.stat().st_size == 0:
            raise ContractViolation(f"{self.path} is empty: 0 bytes, 0 rows")
        schema = _parquet_file(self.path).schema_arrow if self.format == "parquet" else _csv_header(self.path)
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise ContractViolation(f"{self.path} has more than one column named {twice[0]!r}")
        return schema

    def count_rows(self) -> int:
        """Rows of the file, by its footer or by reading its first column."""
        if self.format == "parquet":
            return int(_parquet_file(self.path).metadata.num_rows)
        return sum(part.num_rows for part in self.parts(self.schema().names[:1]))

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield consecutive rows of `columns`, at least one table per file even when it has no rows.

        Raises:
            ContractViolation: the file is damaged.
        """
        try:
            if self.format == "parquet":
                yield from _parquet_parts(self.path, columns)
            else:
                yield from _csv_parts(self.path, columns)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ContractViolation(f"{self.path} cannot be read to its end: {error}") from error


@dataclass(frozen=True)
class EventTable:
    """Events already in memory, read like a file."""

    table: pa.Table
    is_text = False

    def __str__(self) -> str:
        return "the table"

    def schema(self) -> pa.Schema:
        """Names and types."""
        return self.table.schema

    def count_rows(self) -> int:
        """Rows of the table."""
        return int(self.table.num_rows)

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield `columns`, in one part."""
        yield self.table.select(list(columns))


def find_files(events: str) -> list[EventFile]:
    """The files behind a path, in name order.

    Args:
        events: a CSV, gzipped CSV or Parquet file, or a folder with files of one of these formats.

    Raises:
        ContractViolation: nothing is there, or formats are unknown or mixed.
    """
    path = Path(events)
    if not path.exists():
        raise ContractViolation(f"there is no file or folder {events!r}")
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if _is_data(p, path))
    if not paths:
        raise ContractViolation(f"{path} holds no files")
    files = [EventFile(p, _format(p)) for p in paths]
    formats = {file.format for file in files}
    if len(formats) > 1:
        raise ContractViolation(f"{path} mixes {' and '.join(sorted(formats))} files; keep one format")
    return files


def _is_data(path: Path, folder: Path) -> bool:
    """Engines leave markers such as `_SUCCESS` and hidden files beside their data."""
    return path.is_file() and not any(part[0] in "._" for part in path.relative_to(folder).parts)


def _format(path: Path) -> str:
    for suffix, format_ in SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return format_
    raise ContractViolation(f"{path}: unknown kind of file; name it {', '.join(SUFFIXES)}")


def _parquet_file(path: Path) -> pq.ParquetFile:
    with open(path, "rb") as stream:
        head = stream.read(4)
        stream.seek(-min(4, path.stat().st_size), io.SEEK_END)
        tail = stream.read(4)
    if head != b"PAR1":
        raise ContractViolation(f"{path} is not a Parquet file: it begins with {head!r}, not b'PAR1'")
    if tail != b"PAR1":
        raise ContractViolation(f"{path} is truncated: a Parquet file ends with b'PAR1', this with {tail!r}")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        text = [field.name for field in file.schema_arrow if _is_text(field.type)]
        # As dictionaries, a long text repeated a million times is held once, until its length is known.
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, read_dictionary=text)
    except (pa.ArrowException, OSError) as error:
        raise ContractViolation(f"{path} is not a readable Parquet file: {error}") from error
    claimed = file.metadata.num_rows * file.metadata.num_columns * 8
    if claimed > max(UNSUSPICIOUS_BYTES, MAX_BYTES_PER_BYTE * path.stat().st_size):
        raise ContractViolation(
            f"{path} has {path.stat().st_size:,} bytes and claims {file.metadata.num_rows:,} rows: refused"
        )
    return file


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _parquet_parts(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    file = _parquet_file(path)
    batch_size = max(1_000, PART_CELLS // max(1, len(columns)))
    rows = 0
    for batch in file.iter_batches(batch_size=batch_size, columns=list(columns)):
        rows += batch.num_rows
        yield pa.Table.from_batches([batch]).select(list(columns))
    if rows != file.metadata.num_rows:
        raise ContractViolation(f"{path} claims {file.metadata.num_rows:,} rows and holds {rows:,}")
    if rows == 0:
        yield file.schema_arrow.empty_table().select(list(columns))


def _csv_header(path: Path) -> pa.Schema:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            names = next(csv.reader(io.StringIO(stream.readline(2**20))), [])
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ContractViolation(f"{path} is not a readable CSV file: {error}") from error
    if not any(name.strip() for name in names):
        raise ContractViolation(f"{path} is empty: no column names in its first line")
    return pa.schema([(name, pa.string()) for name in names])


def _csv_parts(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    reader = pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=False),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    with reader:
        empty = True
        for batch in reader:
            if batch.num_rows:
                empty = False
                yield pa.Table.from_batches([batch])
        if empty:
            yield pa.schema([(name, pa.string()) for name in columns]).empty_table()
