"""The relational work, once, as Ibis expressions; DuckDB inside this process runs them by default."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from tsa_model.events.arrays import is_text
from tsa_model.events.cleaning import clean, split_bad, wanted_columns
from tsa_model.events.ids import read_id_forms
from tsa_model.events.quarantine import BadRows
from tsa_model.events.reading import read_parts
from tsa_model.sequences.sorting.duckdb_memory import memory_limit
from tsa_model.settings.dataset import DatasetDescription

EngineName = Literal["duckdb", "pyspark"]

STREAM_ROWS = 2**17
CLEAN = "clean"
"""Name of the table of cleaned events in DuckDB."""


class Engine(Protocol):
    """Where cleaned events lie and queries run; both engines give the same rows in the same order."""

    def load(self, events: Any, description: DatasetDescription, bad: BadRows) -> tuple[ir.Table, int]:
        """Read and clean raw events; return the usable rows as a table, and the number of rows read."""

    def fetch(self, expression: ir.Table) -> pa.Table:
        """Run a query with a small result."""

    def stream(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """Run a query and read its rows in order, part by part."""

    def close(self) -> None:
        """Free the engine's memory and files."""


def open_engine(name: EngineName, work: Path) -> Engine:
    """Open an engine that may write temporary files into the folder `work`."""
    if name == "pyspark":
        from tsa_model.sequences.sorting.spark import SparkEngine

        return SparkEngine(work)
    return DuckDBEngine(work)


class DuckDBEngine:
    """DuckDB inside this process, within a memory limit."""

    def __init__(self, work: Path) -> None:
        self._clean = work / "clean.parquet"
        self._connection = ibis.duckdb.connect(
            memory_limit=memory_limit(),
            temp_directory=str(work / "duckdb"),
            preserve_insertion_order=False,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )

    def load(self, events: Any, description: DatasetDescription, bad: BadRows) -> tuple[ir.Table, int]:
        """See `Engine`; the parts are cleaned one after the other into a Parquet file."""
        forms = read_id_forms(events, description)
        n_rows, writer = 0, None
        try:
            for origin, part in read_parts(events, wanted_columns(description), csv=description.csv):
                n_rows += len(part)
                cleaned, aside = split_bad(part, clean(part, description, forms), description)
                if aside is not None:
                    bad.add(origin, aside.order_ids, aside.reasons, aside.values, aside.rows)
                if writer is None:
                    texts = [field.name for field in cleaned.schema if is_text(field.type)]
                    writer = pq.ParquetWriter(
                        self._clean, cleaned.schema, compression="lz4", use_dictionary=texts
                    )
                writer.write_table(cleaned)
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            return ibis.memtable({"order_id": []}), 0
        read = self._connection.read_parquet(self._clean, table_name=CLEAN)
        return ibis.table(read.schema(), name=CLEAN), n_rows  # tied to no connection: see `_in_sql`

    def fetch(self, expression: ir.Table) -> pa.Table:
        """See `Engine`."""
        return self._connection.con.sql(_in_sql(expression.op())).to_arrow_table()

    def stream(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine`; DuckDB sorts within its limit and hands out the result bit by bit."""
        yield from self._connection.con.sql(_in_sql(expression.op())).to_arrow_reader(STREAM_ROWS)

    def close(self) -> None:
        """See `Engine`."""
        self._connection.disconnect()


@lru_cache(maxsize=32)
def _in_sql(query: ops.Relation) -> str:
    """The query as DuckDB reads it; to write it takes as long as to sort ten thousand orders."""
    return str(ibis.to_sql(query.to_expr(), dialect="duckdb"))


def repeated_rows(events: ir.Table) -> ir.Table:
    """Rows that share their order id with another row."""
    counted = events.group_by("order_id").agg(rows=events.count())
    return events.semi_join(counted.filter(counted.rows > 1), "order_id")


def conflicting_rows(repeated: ir.Table) -> ir.Table:
    """Of rows with a repeated order id, those whose orders have rows that are not exact duplicates."""
    different = repeated.distinct()
    counted = different.group_by("order_id").agg(rows=different.count())
    return repeated.semi_join(counted.filter(counted.rows > 1), "order_id")


def without_repeated(events: ir.Table, repeated: ir.Table, conflicting: ir.Table) -> ir.Table:
    """The events with each exact duplicate once, and without the rows that contradict each other."""
    once = repeated.distinct().anti_join(conflicting, "order_id")
    return events.anti_join(repeated, "order_id").union(once)


def chronological(events: ir.Table, keys: list[str]) -> ir.Table:
    """Events sorted by (time, order id), their keys replaced by numbers in the keys' own order.

    Args:
        events: cleaned events.
        keys: columns to number; null stays null.
    """
    for key in keys:
        distinct = distinct_keys(events, key)
        numbered = distinct.mutate(number=ibis.row_number().over(order_by=distinct.value))
        joined = events.left_join(numbered, events[key] == numbered.value)
        events = joined.mutate(**{key: joined.number.cast("int32")}).drop("value", "number")
    return events.order_by("time_us", "order_id")


def distinct_keys(events: ir.Table, key: str) -> ir.Table:
    """The values of a key column, each once, in their own order."""
    distinct = events.filter(events[key].notnull()).select(value=key).distinct()
    return distinct.order_by("value")
