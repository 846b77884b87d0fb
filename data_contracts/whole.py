"""Rules about all validated events together, by DuckDB, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts import suites
from data_contracts.context import check_measures
from data_contracts.findings import MAX_EXAMPLES, Example, Finding
from tsa_model.sequences.sorting.duckdb_memory import duckdb_in_words, memory_limit
from tsa_model.settings.dataset import PERIODS, DatasetDescription

if TYPE_CHECKING:
    import duckdb

MICROSECONDS = 1_000_000


@contextmanager
def connect(events: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection in which the view `events` is a Parquet file; opening takes longer than a query.

    Args:
        events: validated events; DuckDB spills into their folder.
    """
    import duckdb
    import pyarrow.dataset as ds

    settings: dict[str, Any] = {
        "memory_limit": memory_limit(),
        "temp_directory": str(events.parent),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb_in_words(events.parent, "checking the orders"):
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


def time_column(dataset: DatasetDescription) -> str:
    """The order time of validated events in microseconds, as an SQL expression."""
    return f"epoch_us({quoted(dataset.order_time)})"


@dataclass(frozen=True)
class Repeated:
    """Order ids that more than one row has."""

    findings: list[Finding]
    """That ids are unique (exact duplicates are no offence), and that no row stands twice."""
    conflicting: list[Any]
    """Ids of rows that differ, ascending: which is right cannot be known."""
    duplicated: list[Any]
    """Ids whose rows are all the same, ascending: the first is kept."""
    copies: int
    """Rows that go because the same row stands before them."""


def repeated_orders(events: Path, order_id: str, rows: int) -> Repeated:
    """Check that every order id occurs once.

    Args:
        events: validated events.
        order_id: the id column.
        rows: number of rows checked.
    """
    column = quoted(order_id)
    with connect(events) as connection:
        connection.execute(
            f"CREATE TEMP TABLE repeated AS SELECT {column} AS id FROM events GROUP BY 1 HAVING count(*) > 1"
        )
        repeated = []
        if connection.execute("SELECT count(*) FROM repeated").fetchall()[0][0]:  # else no row need be read
            repeated = connection.execute(
                f"SELECT {column}, count(*), count(DISTINCT events) FROM events "
                f"WHERE {column} IN (SELECT id FROM repeated) GROUP BY 1 ORDER BY 1"
            ).fetchall()
    conflicting = [(id_, times) for id_, times, different in repeated if different > 1]
    duplicated = [(id_, times) for id_, times, different in repeated if different == 1]
    copies = sum(times - 1 for _, times in duplicated)
    bad_rows = sum(times for _, times in conflicting)
    unique = Finding(f"every {order_id} occurs once", order_id, rows, bad_rows, _times(conflicting))
    once = Finding(
        "no row stands in the input twice",
        rows=rows,
        bad_rows=copies,
        examples=_times(duplicated),
        severity="warn",
        detail="one row of each is kept" if copies else "",
    )
    return Repeated([unique, once], [i for i, _ in conflicting], [i for i, _ in duplicated], copies)


def _times(repeated: list[tuple[Any, int]]) -> tuple[Example, ...]:
    return tuple(Example(f"{times} times", id_) for id_, times in repeated[:MAX_EXAMPLES])


def of_periods(
    connection: duckdb.DuckDBPyConnection, figures: str, rows: str, dataset: DatasetDescription
) -> dict[str, Any]:
    """Period of the split → a figure over its rows, all in one reading.

    Args:
        connection: see `connect`.
        figures: an SQL aggregate, in braces where the condition of its rows goes.
        rows: SQL of a table with a column time_us.
        dataset: has the split.
    """
    conditions = []
    for period in PERIODS:
        start, end = (int(moment.timestamp()) * MICROSECONDS for moment in dataset.split.window(period))
        conditions.append(f"FILTER (WHERE time_us >= {start} AND time_us < {end})")
    every = ", ".join(figures.format(condition) for condition in conditions)
    (found,) = connection.execute(f"SELECT {every} FROM ({rows})").fetchall()
    return dict(zip(PERIODS, found, strict=True))


def summarise_periods(
    connection: duckdb.DuckDBPyConnection, dataset: DatasetDescription
) -> list[dict[str, Any]]:
    """Count orders and labels of every period of the split.

    Args:
        connection: see `connect`.
        dataset: the events' description.

    Returns:
        One dictionary per period: period, start, end, orders, known_labels, frauds, genuine.
    """
    rows = f"SELECT {time_column(dataset)} AS time_us, {quoted(dataset.label)} AS label FROM events"
    counts = "[count(*) {0}, count(label) {0}, coalesce(sum(label) {0}, 0)]"
    summary = []
    for period, found in of_periods(connection, counts, rows, dataset).items():
        start, end = dataset.split.window(period)
        orders, known, frauds = map(int, found)
        summary.append(
            {
                "period": period,
                "start": start.isoformat(),
                "end": end.isoformat(),
                "orders": orders,
                "known_labels": known,
                "frauds": frauds,
                "genuine": known - frauds,
            }
        )
    return summary


def check_periods(summary: list[dict[str, Any]]) -> list[Finding]:
    """Check that a model can be learned from the periods, and judged by them.

    Args:
        summary: see `summarise_periods`.
    """
    import pandas as pd

    frame = pd.DataFrame(summary)
    learned = frame["period"].isin(["train", "vali"])
    findings = check_measures(frame[learned], suites.learnable_periods(), "period")
    return findings + check_measures(frame[~learned], suites.scorable_periods(), "period", "warn")
