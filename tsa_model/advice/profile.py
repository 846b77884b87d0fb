"""What the columns of some events look like, by one pass of DuckDB over the files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tsa_model.events.files import file_format, list_files

NUMERIC = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
FRACTIONAL = ("FLOAT", "DOUBLE", "DECIMAL")
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Column:
    """One column of the events."""

    name: str
    kind: str
    """`whole`, `fraction`, `time`, `flag` (true and false) or `text`."""
    distinct: int
    missing: int
    low: float | None
    """The smallest number; None for anything else."""
    high: float | None
    examples: tuple[str, ...]


class Events:
    """The files of some events as one table that can be asked.

    Args:
        path: a CSV or Parquet file, or a folder of them.

    Raises:
        ValueError: nothing is there, or it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        import duckdb

        files = [str(file.path) for file in list_files(path).files]
        reader = "read_parquet" if file_format(Path(files[0])) == "parquet" else "read_csv"
        self.is_csv = reader == "read_csv"
        self._files = files
        self._connection = duckdb.connect()
        self._moments: dict[str, str | None] = {}
        try:
            self._connection.execute("SET TimeZone = 'UTC'")
            source = f"SELECT * FROM {reader}({files!r}, union_by_name=true)"
            self._connection.execute(f"CREATE TABLE events AS {source}")
            self._read_number_texts()
        except duckdb.Error as error:
            raise ValueError(f"{path} cannot be read as one table: {error}") from None
        self.n_rows = int(self.one("SELECT count(*) FROM events")[0])
        if not self.n_rows:
            raise ValueError(f"{path} has no rows: give a file with orders")
        described = self._connection.execute("DESCRIBE events").fetchall()
        self.columns = {name: self._column(name, kind) for name, kind, *_ in described}

    def _read_number_texts(self) -> None:
        """Text that holds a number in every row becomes numbers; "007" is a name and stays."""
        for name, kind, *_ in self._connection.execute("DESCRIBE events").fetchall():
            if kind != "VARCHAR":
                continue
            q = quoted(name)
            known, numbers, fractions, padded = self.one(
                f"SELECT count({q}), count(TRY_CAST(trim({q}) AS DOUBLE)), count(*) FILTER"
                f" (TRY_CAST(trim({q}) AS DOUBLE) <> floor(TRY_CAST(trim({q}) AS DOUBLE))),"
                f" count(*) FILTER (regexp_matches(trim({q}), '^0[0-9]')) FROM events"
            )
            if known and numbers == known and not padded:
                wanted = "DOUBLE" if fractions else "BIGINT"
                text = f"CAST(trim({q}) AS DOUBLE)" if wanted == "BIGINT" else f"trim({q})"
                self._connection.execute(
                    f"ALTER TABLE events ALTER {q} SET DATA TYPE {wanted} USING CAST({text} AS {wanted})"
                )

    def one(self, query: str) -> tuple[Any, ...]:
        """The first row of a query's answer."""
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return row

    def delimiter(self) -> str:
        """What separates the fields of a CSV file; a comma for Parquet."""
        if not self.is_csv:
            return ","
        return str(self.one(f"SELECT Delimiter FROM sniff_csv({self._files[0]!r})")[0])

    def _column(self, name: str, kind: str) -> Column:
        q = quoted(name)
        distinct, missing = self.one(f"SELECT approx_count_distinct({q}), count(*) - count({q}) FROM events")
        if distinct <= 10_000:  # where the estimate is off by some per cent, a rule about few values may turn
            (distinct,) = self.one(f"SELECT count(DISTINCT {q}) FROM events")
        family = _family(kind)
        low = high = None
        if family in ("whole", "fraction"):
            low, high = self.one(f"SELECT min({q})::DOUBLE, max({q})::DOUBLE FROM events")
            if low is None:
                family = "text"
        rows = self._connection.execute(
            f"SELECT {q}::VARCHAR FROM events WHERE {q} IS NOT NULL LIMIT 3"
        ).fetchall()
        return Column(name, family, int(distinct), int(missing), low, high, tuple(row[0] for row in rows))

    def moments(self, column: Column) -> str | None:
        """An expression of the column's UTC moment; None where it holds none between 2000 and 2100."""
        if column.name not in self._moments:
            self._moments[column.name] = self._find_moments(column)
        return self._moments[column.name]

    def _find_moments(self, column: Column) -> str | None:
        q = quoted(column.name)
        if column.kind in ("whole", "fraction"):
            assert column.low is not None
            assert column.high is not None
            if EARLIEST.timestamp() <= column.low <= column.high <= LATEST.timestamp():
                return f"make_timestamp(CAST({q} * 1000000 AS BIGINT))"
            return None
        moment = f"TRY_CAST({q} AS TIMESTAMP)"
        if column.kind == "flag":
            return None
        known, inside = self.one(
            f"SELECT count({moment}), count(*) FILTER ({moment} BETWEEN '2000-01-01' AND '2100-01-01')"
            " FROM events"
        )
        return moment if known == inside > 0.99 * self.n_rows else None

    def folded(self, column: Column) -> int:
        """Number of values of a text column that differ in more than spelling (`fold_text`)."""
        text = _spelled_alike(quoted(column.name))
        return int(self.one(f"SELECT count(DISTINCT {text}) FROM events")[0])

    def is_date(self, column: Column) -> bool:
        """Whether the column holds dates or moments of any year."""
        if column.kind != "text":
            return column.kind == "time"
        q = quoted(column.name)
        known, dates = self.one(f"SELECT count({q}), count(TRY_CAST({q} AS TIMESTAMP)) FROM events")
        return bool(known == dates)

    def counts_rows(self, column: Column) -> bool:
        """Whether the column numbers the rows: whole numbers without a gap, from 0 or 1."""
        if column.kind != "whole" or column.low not in (0, 1) or column.high is None:
            return False
        return column.high - column.low + 1 == self.n_rows

    def groups(self, name: str) -> tuple[float, float]:
        """Mean number of rows per value of a column, and the share of its values with more than one row."""
        mean, repeated = self.one(
            f"SELECT avg(n), avg((n > 1)::INT) FROM (SELECT count(*) n FROM events"
            f" WHERE {quoted(name)} IS NOT NULL GROUP BY {quoted(name)})"
        )
        return float(mean or 0), float(repeated or 0)

    def depends_on(self, name: str, key: str) -> bool:
        """Whether each value of a key has one value of the column, nearly always."""
        value = quoted(name)
        if self.columns[name].kind == "text":
            value = _spelled_alike(value)
        (share,) = self.one(
            f"SELECT avg((n <= 1)::INT) FROM (SELECT count(DISTINCT {value}) n FROM events"
            f" GROUP BY {quoted(key)} HAVING count(*) > 1)"
        )
        return share is not None and share > 0.99


def quoted(name: str) -> str:
    """A column's name in a query."""
    return '"' + name.replace('"', '""') + '"'


def _spelled_alike(text: str) -> str:
    """An expression of a text as `fold_text` reads it."""
    for _ in range(
        2
    ):  # words of one letter share theirs with the next, so half of them are left by the first
        text = f"regexp_replace({text}, '([\\p{{L}}\\p{{N}}])[\\s_-]+([\\p{{L}}\\p{{N}}])', '\\1 \\2', 'g')"
    return f"lower(trim(regexp_replace({text}, '\\s+', ' ', 'g')))"


def _family(kind: str) -> str:
    if kind.startswith(NUMERIC):
        return "whole"
    if kind.startswith(FRACTIONAL):
        return "fraction"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "time"
    return "flag" if kind == "BOOLEAN" else "text"
