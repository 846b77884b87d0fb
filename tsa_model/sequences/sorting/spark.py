"""The relational work on Spark: the same cleaning function and the same queries as inside one process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

from tsa_model.events.arrays import as_text, one_array
from tsa_model.events.cleaning import clean, wanted_columns
from tsa_model.events.errors import BadEvents
from tsa_model.events.files import find_files
from tsa_model.events.ids import IdForm, read_id_forms
from tsa_model.events.quarantine import BadRows
from tsa_model.events.reading import Source, check_columns, is_events_path, open_events, read_parts
from tsa_model.settings.dataset import DatasetDescription

STREAM_ROWS = 2**17
VIEW = "tsa_clean_events"
ASIDE = "aside "
"""Prefix of the raw columns that only rows with a problem carry."""


class SparkEngine:
    """The Spark session that is active, or the one that Spark's own settings describe.

    Executors must see the event files and the store's folder under the same paths, and have this package
    installed. One file is read by one task: give large logs as a folder of files.
    """

    def __init__(self, work: Path) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ValueError(
                "engine pyspark needs the package pyspark, at least 4.0 and below 4.1"
            ) from error
        self._work = work.resolve()
        self._session = SparkSession.builder.getOrCreate()
        self._connection = ibis.pyspark.connect(self._session)

    def load(self, events: Any, description: DatasetDescription, bad: BadRows) -> tuple[ir.Table, int]:
        """See `Engine`; every file is a task, which cleans it part by part."""
        paths = find_files(events) if is_events_path(events) else [self._write_table(events, description)]
        columns = wanted_columns(description)
        forms = read_id_forms(events, description)
        empty = _empty(open_events(paths[0], description.csv).sources[0], columns)
        cleaned_empty = clean(empty, description, forms)
        schema = _with_raw("", 0, empty, cleaned_empty).schema
        files = self._session.createDataFrame(
            [(place, str(path.absolute())) for place, path in enumerate(paths)], "place int, path string"
        )
        read = _reader(description.model_dump_json(), forms)
        cleaned = files.repartitionByRange(len(paths), "place").mapInArrow(read, _spark_schema(schema))
        with _own_errors():
            cleaned.write.parquet(f"file://{self._work / 'clean'}")
        self._note_bad(bad)
        self._session.read.parquet(f"file://{self._work / 'clean'}").createOrReplaceTempView(VIEW)
        table = self._connection.table(VIEW)
        names = [name for name in cleaned_empty.column_names if name not in ("problem", "value")]
        return table.filter(table.problem.isnull()).select(names), self._files("clean").count_rows()

    def _write_table(self, events: Any, description: DatasetDescription) -> Path:
        path = self._work / "events.parquet"
        parts = [part for _, part in read_parts(events, wanted_columns(description))]
        if not parts:
            raise BadEvents("events: there are no rows")
        pq.write_table(pa.concat_tables(parts), path)
        return path

    def _files(self, name: str) -> pa_dataset.Dataset:
        return pa_dataset.dataset(sorted((self._work / name).glob("part-*.parquet")), format="parquet")

    def _note_bad(self, bad: BadRows) -> None:
        wrong = self._files("clean").to_table(filter=pc.field("problem").is_valid())
        for place in pc.unique(wrong["place"]).sort().to_pylist():
            rows = wrong.filter(pc.equal(wrong["place"], place))
            raw = rows.select([name for name in rows.column_names if name.startswith(ASIDE)])
            raw = raw.rename_columns([name.removeprefix(ASIDE) for name in raw.column_names])
            origin = rows["origin"][0].as_py()
            bad.add(origin, raw.column(0), one_array(rows["problem"]), one_array(rows["value"]), raw)

    def fetch(self, expression: ir.Table) -> pa.Table:
        """See `Engine`."""
        return self._session.sql(self._connection.compile(expression)).toArrow()

    def stream(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine`; Spark writes the sorted rows to files, so that they need not fit into memory here."""
        query = self._connection.compile(expression)
        self._session.sql(query).write.parquet(f"file://{self._work / 'sorted'}")
        for path in sorted((self._work / "sorted").glob("part-*.parquet")):
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(STREAM_ROWS)

    def close(self) -> None:
        """See `Engine`; the session is left open, because it may be the caller's own."""
        self._session.catalog.dropTempView(VIEW)


def _empty(source: Source, columns: list[str]) -> pa.Table:
    check_columns(str(source), source.schema.names, columns, source.hint(columns))
    return pa.schema([source.schema.field(name) for name in columns]).empty_table()


def _reader(
    description_json: str, forms: dict[str, IdForm]
) -> Callable[[Iterable], Iterable[pa.RecordBatch]]:
    """The function that the executors run: files in, cleaned rows out."""

    def read(files: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        description = DatasetDescription.model_validate_json(description_json)
        for batch in files:
            for place, path in zip(batch["place"].to_pylist(), batch["path"].to_pylist(), strict=True):
                for origin, part in read_parts(path, wanted_columns(description), csv=description.csv):
                    cleaned = _with_raw(origin, place, part, clean(part, description, forms))
                    yield from cleaned.to_batches()

    return read


def _with_raw(origin: str, place: int, part: pa.Table, cleaned: pa.Table) -> pa.Table:
    """Add the origin of each row and, to rows with a problem, their raw values."""
    is_bad = pc.is_valid(cleaned["problem"])
    extra = {
        "origin": pa.repeat(origin, len(part)),
        "place": pa.repeat(pa.scalar(place, pa.int32()), len(part)),
    }
    for name in part.column_names:
        extra[ASIDE + name] = pc.if_else(is_bad, as_text(part[name]), pa.scalar(None, pa.string()))
    return pa.table({name: cleaned[name] for name in cleaned.column_names} | extra)


def _spark_schema(schema: pa.Schema) -> str:
    names = {pa.int64(): "bigint", pa.int32(): "int", pa.int8(): "tinyint", pa.float64(): "double"}
    return ", ".join(f"`{field.name}` {names.get(field.type, 'string')}" for field in schema)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raise the cleaning function's own error from an executor, without Spark's page of text."""
    try:
        yield
    except Exception as error:
        found = re.search(r"BadEvents: (.*)", str(error))
        if found is None:
            raise
        raise BadEvents(found.group(1)) from error
