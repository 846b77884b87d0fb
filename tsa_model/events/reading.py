"""Raw rows in parts of bounded size, from files or tables, without guessing any type.

Text files are read as text and cast later by the column's role; a file that is not what its name says is
refused before anything is made of it.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

PART_CELLS = 2_000_000
"""Values held in memory at a time, roughly."""
CSV_BLOCK_BYTES = 8 * 2**20
BUFFER_BYTES = 2**20
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
LARGE_BYTES = 4 * 2**30
MAX_INFLATION = 2_000
"""A Parquet file may claim this many bytes of values per byte on disk; asked only above `LARGE_BYTES`."""


class BadEvents(ValueError):
    """The events cannot be used; the message names file, column, number of rows and an example."""


def read_parts(
    events: Any, columns: Sequence[str], cells: int = PART_CELLS
) -> Iterator[tuple[str, pa.Table]]:
    """Read the wanted columns part by part.

    Args:
        events: a path, several paths, a folder, or an Arrow or pandas table.
        columns: names to read; others are ignored.
        cells: values per part, roughly.

    Yields:
        Where the part comes from (a file's path, or "the given table"), and consecutive rows.

    Raises:
        BadEvents: no file, an unknown or damaged format, or a column missing or doubled.
    """
    if is_events_path(events):
        for path in find_files(events):
            yield from ((str(path), part) for part in _file_parts(path, columns, cells))
    else:
        yield from (("the given table", part) for part in _table_parts(events, columns, cells))


def find_files(events: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the data files behind a path or several, those of a folder in the order of their names."""
    paths = [events] if isinstance(events, (str, Path)) else list(events)
    if not paths:
        raise BadEvents("events are an empty list of paths; name at least one file or folder")
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise BadEvents(f"there is no file or folder {path}")
        files += [path] if path.is_file() else sorted(p for p in path.rglob("*") if _is_data(p, path))
    if not files:
        raise BadEvents(f"{', '.join(map(str, paths))} holds no files")
    if len({file_format(path) for path in files}) > 1:
        raise BadEvents(f"{', '.join(map(str, paths))} mixes CSV and Parquet files; keep one format")
    return files


def are_text_files(events: Any) -> bool:
    """Whether the events are CSV files, which know no types."""
    return is_events_path(events) and file_format(find_files(events)[0]) == "csv"


def file_format(path: Path) -> str:
    """Return "parquet" or "csv" by the file's name."""
    for suffix, name in SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return name
    raise BadEvents(f"{path}: unknown kind of file; expected {', '.join(SUFFIXES)}")


def read_schema(path: Path) -> pa.Schema:
    """Return the names and types of a file's columns; every column of a CSV file is text."""
    if path.stat().st_size == 0:
        raise BadEvents(f"{path} is empty: 0 bytes")
    try:
        if file_format(path) == "csv":
            return pa.schema([(name, pa.string()) for name in _csv_header(path)])
        _check_marks(path)
        return pq.read_schema(path)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise BadEvents(f"{path} cannot be read: {error}") from error


def check_columns(origin: str, present: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a wanted column or has it twice."""
    missing = [name for name in wanted if name not in present]
    if missing:
        raise BadEvents(f"{origin}: column {missing[0]!r} is missing; the columns are {', '.join(present)}")
    twice = [name for name in wanted if list(present).count(name) > 1]
    if twice:
        raise BadEvents(f"{origin}: more than one column is named {twice[0]!r}")


def is_events_path(events: Any) -> bool:
    """Whether events are given as a path or several, not as a table."""
    if isinstance(events, (list, tuple)):
        return all(isinstance(path, (str, Path)) for path in events)
    return isinstance(events, (str, Path))


def _is_data(path: Path, folder: Path) -> bool:
    """Engines leave markers such as `_SUCCESS` and hidden files beside their data."""
    return path.is_file() and not any(part[0] in "._" for part in path.relative_to(folder).parts)


def _file_parts(path: Path, columns: Sequence[str], cells: int) -> Iterator[pa.Table]:
    if path.stat().st_size == 0:
        raise BadEvents(f"{path} is empty: 0 bytes")
    parts = _parquet_parts if file_format(path) == "parquet" else _csv_parts
    try:
        yield from parts(path, columns, max(1, cells // len(columns)))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise BadEvents(f"{path} cannot be read to its end: {error}") from error


def _parquet_parts(path: Path, columns: Sequence[str], most_rows: int) -> Iterator[pa.Table]:
    _check_marks(path)
    options: dict[str, Any] = {
        "page_checksum_verification": True,
        "pre_buffer": False,
        "buffer_size": BUFFER_BYTES,
    }
    schema = pq.ParquetFile(path, **options).schema_arrow
    check_columns(str(path), schema.names, columns)
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


def _check_marks(path: Path) -> None:
    with open(path, "rb") as stream:
        head = stream.read(4)
        stream.seek(-min(4, path.stat().st_size), io.SEEK_END)
        tail = stream.read(4)
    if head != b"PAR1":
        raise BadEvents(f"{path} is not a Parquet file: it begins with {head!r} instead of b'PAR1'")
    if tail != b"PAR1":
        raise BadEvents(f"{path} is truncated: it ends with {tail!r} instead of b'PAR1'")


def _csv_parts(path: Path, columns: Sequence[str], most_rows: int) -> Iterator[pa.Table]:
    check_columns(str(path), _csv_header(path), columns)
    reader = pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    with reader:
        for batch in reader:
            for first in range(0, batch.num_rows, most_rows):
                yield pa.Table.from_batches([batch.slice(first, most_rows)])


def _csv_header(path: Path) -> list[str]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        names = next(csv.reader(io.StringIO(stream.readline(2**20))), [])
    if not names:
        raise BadEvents(f"{path} is empty: its first line names no columns")
    return names


def _table_parts(events: Any, columns: Sequence[str], cells: int) -> Iterator[pa.Table]:
    names = getattr(events, "column_names", None) or list(getattr(events, "columns", []))
    if not names:
        raise BadEvents(f"events are {type(events).__name__}; expected paths, or an Arrow or pandas table")
    check_columns("the given table", names, columns)
    if isinstance(events, pa.Table):
        table = events.select(list(columns))
    else:
        table = pa.table({name: _pandas_column(events[name], name) for name in columns})
    size = max(1, cells // len(columns))
    for first in range(0, len(table), size):
        yield table.slice(first, size)


def _pandas_column(values: Any, name: str) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadEvents(f"the given table: column {name!r} mixes types: {error}") from error


def is_text(type_: pa.DataType) -> bool:
    """Whether a column is text."""
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column's chunks as one array."""
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        combined = pa.concat_arrays(combined.chunks) if combined.num_chunks else pa.array([], column.type)
    return combined
