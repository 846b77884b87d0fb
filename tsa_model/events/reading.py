"""Raw rows in parts of bounded size, from files or tables, without guessing any type.

Text files are read as text and cast later by the column's role; a file that is not what its name says is
refused before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from tsa_model.events.arrays import one_array, shown
from tsa_model.events.csv_files import csv_header, csv_parts, written_otherwise
from tsa_model.events.errors import BadEvents
from tsa_model.events.files import EventFile, file_format, list_files
from tsa_model.events.parquet_files import parquet_parts, parquet_schema
from tsa_model.settings.csv_format import CsvFormat

PART_CELLS = 2_000_000
"""Values held in memory at a time, roughly."""
READ_ERRORS = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)


@dataclass
class Source:
    """One file, or one table in memory."""

    events: EventFile | pa.Table
    csv: CsvFormat
    optional: tuple[str, ...] = ()
    """Columns that are all missing where the events lack them."""

    def __str__(self) -> str:
        return str(self.events.path) if isinstance(self.events, EventFile) else "the given table"

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns, those of its folders' names too; in a CSV file all are text.

        Raises:
            BadEvents: the file cannot be read.
        """
        schema = self._inside
        for name in self._added:
            schema = schema.append(pa.field(name, pa.string()))
        return schema

    @cached_property
    def _inside(self) -> pa.Schema:
        if not isinstance(self.events, EventFile):
            return self.events.schema
        return read_schema(self.events.path, self.csv)

    @property
    def _added(self) -> dict[str, str | None]:
        """Columns that only the folders' names give, and optional ones that are not there."""
        values: dict[str, str | None] = dict.fromkeys(self.optional)
        values |= self.events.folder_values if isinstance(self.events, EventFile) else {}
        return {name: value for name, value in values.items() if name not in self._inside.names}

    @property
    def lacking(self) -> frozenset[str]:
        """Optional columns that are not there."""
        return frozenset(self.optional) & self._added.keys()

    def parts(self, columns: Sequence[str], cells: int = PART_CELLS) -> Iterator[pa.Table]:
        """Yield consecutive rows of `columns`, in parts of bounded size.

        Raises:
            BadEvents: the file is damaged, or a column is missing or doubled.
        """
        inside = [name for name in columns if name not in self._added]
        check_columns(str(self), self._inside.names, inside, self.hint(columns))
        most_rows = max(1, cells // len(columns))
        # A column that only a folder's name gives has as many rows as any other.
        read = inside or self._inside.names[:1]
        if not isinstance(self.events, EventFile):
            table = self.events.select(read)
            for first in range(0, len(table), most_rows):
                yield self._with_added(table.slice(first, most_rows), columns)
            return
        path = self.events.path
        try:
            if file_format(path) == "parquet":
                parts = parquet_parts(path, read, most_rows)
            else:
                parts = csv_parts(path, read, most_rows, self.csv)
            for part in parts:
                self._check_folder_values(part)
                yield self._with_added(part, columns)
        except READ_ERRORS as error:
            raise BadEvents(f"{path} cannot be read to its end: {_in_words(error)}") from error

    def hint(self, columns: Sequence[str]) -> str:
        """Words on how the file seems to be written, where wanted columns are missing; else empty."""
        if not isinstance(self.events, EventFile) or file_format(self.events.path) != "csv":
            return ""
        if set(columns) <= set(self.schema.names):
            return ""
        return written_otherwise(self.events.path, columns, self.csv)

    def count_rows(self) -> int:
        """Count the rows by reading the first column."""
        if not self.schema.names:
            return 0
        return sum(part.num_rows for part in self.parts(self.schema.names[:1]))

    def _with_added(self, part: pa.Table, columns: Sequence[str]) -> pa.Table:
        for name, value in self._added.items():
            if name in columns:
                part = part.append_column(name, pa.repeat(pa.scalar(value, pa.string()), len(part)))
        return _plain(part.select(list(columns)))

    def _check_folder_values(self, part: pa.Table) -> None:
        """Refuse a file that contradicts its folder's name."""
        assert isinstance(self.events, EventFile)
        for name in set(self.events.folder_values) & set(part.column_names):
            expected = self.events.folder_values[name]
            found = shown(part[name], range(min(1, len(part)))).to_pylist()
            if found and found[0] != expected and expected is not None:
                raise BadEvents(
                    f"{self}: column {name!r} is {found[0]!r} in the file and {expected!r} in its folder's "
                    "name; give it one value"
                )


@dataclass(frozen=True)
class Opened:
    """Raw events, ready to be read."""

    sources: list[Source]
    left_out: list[tuple[Path, str]]
    """Paths that are not read, with the reason."""


def open_events(
    events: Any,
    csv: CsvFormat | None = None,
    columns: Sequence[str] | None = None,
    optional: tuple[str, ...] = (),
) -> Opened:
    """Open raw events.

    Args:
        events: a path, several paths, a folder, an Arrow or pandas table, or sources that are open already.
        csv: how CSV files are written.
        columns: all that will be read of a pandas table; None = every column.
        optional: columns that need not be there: their values are missing then.

    Raises:
        BadEvents: no file, or kinds of files that are unknown or mixed.
    """
    form = csv or CsvFormat()
    if are_sources(events):
        return Opened(list(events), [])
    if is_events_path(events):
        listing = list_files(events)
        return Opened([Source(file, form, optional) for file in listing.files], listing.left_out)
    return Opened([Source(_as_table(events, columns, optional), form, optional)], [])


def read_parts(
    events: Any, columns: Sequence[str], cells: int = PART_CELLS, csv: CsvFormat | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Read the wanted columns part by part.

    Args:
        events: see `open_events`.
        columns: names to read; others are ignored.
        cells: values per part, roughly.
        csv: how CSV files are written.

    Yields:
        Where the part comes from (a file's path, or "the given table"), and consecutive rows.

    Raises:
        BadEvents: no file, an unknown or damaged format, or a column missing or doubled.
    """
    for source in open_events(events, csv, columns).sources:
        yield from ((str(source), part) for part in source.parts(columns, cells))


def read_schema(path: Path, csv: CsvFormat | None = None) -> pa.Schema:
    """Return the names and types of a file's columns; every column of a CSV file is text."""
    if path.stat().st_size == 0:
        raise BadEvents(f"{path} is empty: 0 bytes")
    try:
        if file_format(path) == "csv":
            return pa.schema([(name, pa.string()) for name in csv_header(path, csv or CsvFormat())])
        return parquet_schema(path)
    except READ_ERRORS as error:
        raise BadEvents(f"{path} cannot be read: {_in_words(error)}") from error


def check_columns(origin: str, present: Sequence[str], wanted: Sequence[str], hint: str = "") -> None:
    """Refuse a table that lacks a wanted column or has it twice."""
    missing = [name for name in wanted if name not in present]
    if missing:
        more = f"; {hint}" if hint else ""
        raise BadEvents(
            f"{origin}: column {missing[0]!r} is missing; the columns are {', '.join(present)}{more}"
        )
    twice = [name for name in wanted if list(present).count(name) > 1]
    if twice:
        raise BadEvents(f"{origin}: more than one column is named {twice[0]!r}")


def are_sources(events: Any) -> bool:
    """Whether events are given as sources that are open already."""
    return isinstance(events, list) and bool(events) and all(isinstance(one, Source) for one in events)


def is_events_path(events: Any) -> bool:
    """Whether events are given as a path or several, not as a table."""
    if isinstance(events, (list, tuple)):
        return all(isinstance(path, (str, Path)) for path in events)
    return isinstance(events, (str, Path))


def _in_words(error: Exception) -> str:
    is_encoding = isinstance(error, UnicodeDecodeError) or "UTF8" in str(error)
    return f"{error}; its text is not UTF-8: save it as UTF-8" if is_encoding else str(error)


def _plain(part: pa.Table) -> pa.Table:
    """The part in types that every computation knows: views of text, for one, cannot be filtered."""
    return pa.table([one_array(column) for column in part.columns], names=part.column_names)


def _as_table(events: Any, columns: Sequence[str] | None, optional: Sequence[str]) -> pa.Table:
    if isinstance(events, pa.Table):
        return events
    names = list(getattr(events, "columns", []))
    if not names:
        raise BadEvents(f"events are {type(events).__name__}; expected paths, or an Arrow or pandas table")
    wanted = [name for name in columns or names if name in names or name not in optional]
    check_columns("the given table", names, wanted)
    return pa.table({name: _pandas_column(events[name], name) for name in wanted})


def _pandas_column(values: Any, name: str) -> pa.Array:
    try:
        return one_array(pa.array(values, from_pandas=True))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadEvents(f"the given table: column {name!r} mixes types: {error}") from error
