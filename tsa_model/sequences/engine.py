"""The relational work, once, as Ibis expressions: an embedded DuckDB runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

MEMORY_LIMIT = "400MB"
"""DuckDB's own limit; a process takes about 150 MB more. What does not fit goes to a temporary folder."""
STREAM_ROWS = 2**17


class DuckDBEngine:
    """DuckDB inside this process, confined to one folder."""

    def __init__(self, work: Path) -> None:
        self._connection = ibis.duckdb.connect(
            memory_limit=MEMORY_LIMIT,
            temp_directory=str(work / "duckdb"),
            preserve_insertion_order=False,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )

    def table(self, parquet: Path) -> ir.Table:
        """Open a Parquet file as a table."""
        return self._connection.read_parquet(parquet)

    def fetch(self, expression: ir.Table) -> pa.Table:
        """Run a query with a small result."""
        return expression.to_pyarrow()

    def stream(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """Run a query and read its rows in order, part by part."""
        query = self._connection.compile(expression)
        yield from self._connection.con.sql(query).to_arrow_reader(STREAM_ROWS)

    def close(self) -> None:
        """Free the engine's memory."""
        self._connection.disconnect()


def repeated_rows(events: ir.Table) -> ir.Table:
    """Rows whose order id another row has too."""
    counted = events.group_by("order_id").agg(rows=events.count())
    return events.semi_join(counted.filter(counted.rows > 1), "order_id")


def whole_number_columns(engine: DuckDBEngine, events: ir.Table) -> list[str]:
    """Id columns of which every text is a whole number in its usual spelling ("7", not "007")."""
    names = [name for name in ("order_id", "customer", "card") if name in events.columns]
    usual = {name: events[name].re_search(r"^(0|-?[1-9][0-9]{0,17})$").all() for name in names}
    answer = engine.fetch(events.aggregate(**usual)).to_pylist()[0]
    return [name for name in names if answer[name]]


def chronological(events: ir.Table, keys: list[str], whole: list[str]) -> ir.Table:
    """Events sorted by (time, order id), their keys replaced by numbers in the keys' own order.

    Args:
        events: cleaned events.
        keys: columns to number; null stays null.
        whole: columns that hold whole numbers written as text; they are sorted as numbers.
    """
    events = events.mutate(**{name: events[name].cast("int64") for name in whole})
    for key in keys:
        distinct = events.filter(events[key].notnull()).select(value=key).distinct()
        numbered = distinct.mutate(number=ibis.row_number().over(order_by=distinct.value))
        joined = events.left_join(numbered, events[key] == numbered.value)
        events = joined.mutate(**{key: joined.number.cast("int32")}).drop("value", "number")
    return events.order_by("time_us", "order_id")
