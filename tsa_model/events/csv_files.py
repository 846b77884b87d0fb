"""CSV files: every value as text; a file that is written otherwise than described says so."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv

from tsa_model.events.errors import BadEvents
from tsa_model.settings.csv_format import CsvFormat

BLOCK_BYTES = 8 * 2**20
"""Longest line."""
HEADER_CHARACTERS = 4 * 2**20
"""Longest first line."""
SAMPLE_CHARACTERS = 2**16
_COMMA_NUMBER = re.compile(r"-?\d+,\d+")
_DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}


def open_text(path: Path) -> IO[str]:
    """Open a CSV file, gzipped or not, without its byte order mark."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")  # type: ignore[return-value]


def csv_header(path: Path, form: CsvFormat) -> list[str]:
    """Read the names of the columns.

    Raises:
        BadEvents: there are none, or the first line does not end.
    """
    with open_text(path) as stream:
        text = stream.read(HEADER_CHARACTERS)
    lines = io.StringIO(text, newline="")
    try:
        names = next(csv.reader(lines, delimiter=form.delimiter, strict=True), [])
    except csv.Error as error:
        if "field" not in str(error) and "unexpected end" not in str(error):  # quotes and another delimiter
            lines = io.StringIO(text, newline="")
            names = next(csv.reader(lines, delimiter=form.delimiter), [])
        else:
            raise BadEvents(
                f"{path}: its first line holds a name that does not end ({error}); it begins with "
                f"{text[:60]!r}: is a quote left open?"
            ) from None
    if not names:
        raise BadEvents(f"{path} is empty: its first line names no columns")
    if len(text) == HEADER_CHARACTERS and not lines.read(1):
        raise BadEvents(
            f"{path}: its first line is longer than {HEADER_CHARACTERS:,} characters; it begins with "
            f"{text[:60]!r}"
        )
    return names


def csv_parts(path: Path, columns: Sequence[str], most_rows: int, form: CsvFormat) -> Iterator[pa.Table]:
    """Read columns as text, empty ones as null.

    Raises:
        BadEvents: a value does not end.
        pa.ArrowException, OSError, EOFError: the file is damaged.
    """
    if not _has_rows(path, form):
        return
    n_rows, source = 0, _Counted(path)
    try:
        reader = pa_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True),
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
                n_rows += batch.num_rows
    except pa.ArrowInvalid as error:
        if (line := _open_quote(path, form)) is not None:
            raise _endless(path, f"in line {line:,}") from None
        if "straddling" in str(error):
            raise _endless(path, f"after row {n_rows:,}") from None
        raise
    finally:
        source.close()
    if source.quotes % 2 and (line := _open_quote(path, form)) is not None:
        raise _endless(path, f"in line {line:,}")


def written_otherwise(path: Path, wanted: Sequence[str], form: CsvFormat) -> str:
    """How a file whose header lacks wanted columns seems to be written; empty where nothing says so."""
    with open_text(path) as stream:
        lines = stream.read(SAMPLE_CHARACTERS).splitlines()
    best, found = form.delimiter, _hits(lines[0], wanted, form.delimiter)
    for delimiter in _DELIMITERS:
        if (hits := _hits(lines[0], wanted, delimiter)) > found:
            best, found = delimiter, hits
    if best == form.delimiter:
        return ""
    fields = [field for line in lines[1:50] for field in line.split(best)]
    is_comma = best != "," and any(_COMMA_NUMBER.fullmatch(field.strip('"')) for field in fields)
    settings = f'delimiter: "{best}"'.replace("\t", "\\t") + (', decimal: ","' if is_comma else "")
    with_comma = " with ',' as decimal sign" if is_comma else ""
    return (
        f"this file seems to be separated by {_DELIMITERS[best]}{with_comma}; "
        f"set csv: {{{settings}}} in the dataset description"
    )


def _hits(line: str, wanted: Sequence[str], delimiter: str) -> int:
    names = next(csv.reader([line], delimiter=delimiter), [])
    return len(set(names) & set(wanted))


def _has_rows(path: Path, form: CsvFormat) -> bool:
    """A header alone, with or without the end of its line, is a part with no rows."""
    with open_text(path) as stream:
        rows = csv.reader(iter(stream.readline, ""), delimiter=form.delimiter)
        next(rows, None)
        return any(line.strip() for line in iter(lambda: stream.read(2**16), ""))


class _Counted(io.RawIOBase):
    """The bytes of a CSV file, its quotes counted on the way."""

    def __init__(self, path: Path) -> None:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        self._stream = opener(path, "rb")
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open_quote(path: Path, form: CsvFormat) -> int | None:
    """The line in which a quoted value begins that the file does not end; None = every one ends."""
    with open_text(path) as stream:
        rows = csv.reader(stream, delimiter=form.delimiter, strict=True)
        line = 1
        try:
            for _ in rows:
                line = rows.line_num + 1
        except csv.Error as error:
            return line if "unexpected end" in str(error) or "field limit" in str(error) else None
    return None


def _endless(path: Path, where: str) -> BadEvents:
    return BadEvents(
        f"{path}: a value that begins {where} does not end; a quote is probably left open there, which would "
        "swallow the orders behind it"
    )
