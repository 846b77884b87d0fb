"""Checks over all validated events at once, by DuckDB, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.findings import MAX_EXAMPLES, Example, Finding
from tsa_model.dataset import PERIODS, DatasetDescription

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "768MB"


@contextmanager
def connect(events: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked-down connection in which the view `events` is the Parquet file.

    Args:
        events: validated events; DuckDB spills into their folder.
    """
    import duckdb
    import pyarrow.dataset as ds

    settings: dict[str, Any] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(events.parent),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=settings)
    try:
        # Registered, not named in SQL: a path may hold any character.
        connection.register("events", ds.dataset(events, format="parquet"))
        yield connection
    finally:
        connection.close()


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def repeated_orders(events: Path, order_id: str, rows: int) -> Finding:
    """Check that every order id occurs once."""
    column = quoted(order_id)
    with connect(events) as connection:
        connection.execute(
            f"CREATE TEMP TABLE repeated AS SELECT {column} AS id, count(*) AS times FROM events "
            "GROUP BY 1 HAVING count(*) > 1"
        )
        (bad_rows,) = connection.execute("SELECT coalesce(sum(times), 0) FROM repeated").fetchall()[0]
        ids = connection.execute(
            "SELECT id, times FROM repeated ORDER BY id LIMIT ?", [MAX_EXAMPLES]
        ).fetchall()
    examples = tuple(Example(f"{times} times", id_) for id_, times in ids)
    return Finding(f"every {order_id} occurs once", order_id, rows, int(bad_rows), examples)


def summarise_periods(events: Path, dataset: DatasetDescription) -> list[dict[str, Any]]:
    """Count orders and labels of every period of the split.

    Returns:
        One dictionary per period: period, start, end, orders, known_labels, frauds, genuine.
    """
    time, label = quoted(dataset.order_time), quoted(dataset.label)
    summary = []
    with connect(events) as connection:
        for period in PERIODS:
            start, end = dataset.split.window(period)
            orders, known, frauds = connection.execute(
                f"SELECT count(*), count({label}), coalesce(sum({label}), 0) FROM events "
                f"WHERE {time} >= ? AND {time} < ?",
                [int(start.timestamp()), int(end.timestamp())],
            ).fetchall()[0]
            summary.append(
                {
                    "period": period,
                    "start": start.isoformat(),
                    "end": end.isoformat(),
                    "orders": orders,
                    "known_labels": known,
                    "frauds": int(frauds),
                    "genuine": known - int(frauds),
                }
            )
    return summary
