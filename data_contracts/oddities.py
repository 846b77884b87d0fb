"""What breaks no rule and is most likely not meant: warned about, with count and example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from data_contracts.findings import Example, Finding, shorten
from data_contracts.whole import quoted, time_column
from tsa_model.sequences.features.preprocessing import LEAST_MIDDLE_HALF, squeezed
from tsa_model.settings.dataset import DatasetDescription

DAY_US = 86_400 * 1_000_000
LEAST_OUTLYING = 0.01
"""A key is looked at when it holds this share of all orders,"""
TIMES_THE_TENTH = 3
"""and is outlying when the tenth largest key holds this many times fewer."""
RANK = 10
LEAST_DATED = 20
"""So few orders may all be at midnight by chance."""
MOST_WORDS = 100_000
"""Categories with more distinct values are no categories, which is found elsewhere."""


def find_oddities(
    connection: duckdb.DuckDBPyConnection,
    dataset: DatasetDescription,
    drift: Sequence[dict[str, Any]],
    words: Mapping[str, dict[str, int]],
) -> list[Finding]:
    """Look for values that are read as they stand, and seldom mean that.

    Args:
        connection: to validated events, see `whole.connect`.
        dataset: their description.
        drift: measures of the features; see `drift.measure_features`.
        words: category → word → rows; see there.

    Returns:
        Findings that warn.
    """
    is_wide = dataset.layout == "wide"
    keys = [] if is_wide else [key for key in (dataset.customer_id, dataset.card_id) if key is not None]
    others = {dataset.order_id, dataset.order_time, dataset.label, *dataset.raw_numerical, *keys}
    rows = _one(connection, "SELECT count(*) FROM events")[0]
    findings = [_outlying(connection, key, rows) for key in keys]
    findings += [_near_equal(key, _twins(connection, key), rows) for key in keys if _is_text(connection, key)]
    for name in dataset.raw_categorical:
        if name not in others and 0 < len(counts := words.get(name, {})) <= MOST_WORDS:
            findings += [
                _near_equal(name, counts, rows),
                _words(name, counts, rows, dataset.missing_words),
            ]
    findings.append(_midnight(connection, dataset, rows))
    return findings + _squeezed(drift)


def _outlying(connection: duckdb.DuckDBPyConnection, key: str, rows: int) -> Finding:
    column = quoted(key)
    largest = connection.execute(
        f"SELECT {column}, count(*) AS n FROM events WHERE {column} IS NOT NULL "
        f"GROUP BY 1 ORDER BY n DESC, 1 LIMIT {RANK}"
    ).fetchall()
    usual = largest[-1][1] if len(largest) == RANK else rows
    found = [(id_, n) for id_, n in largest if n >= max(LEAST_OUTLYING * rows, TIMES_THE_TENTH * usual, RANK)]
    more = (
        f"the {RANK}th largest holds {usual:,}; if it stands for a missing id, add it to missing_words"
        if found
        else ""
    )
    return Finding(
        "no id holds an outlying share of all orders",
        key,
        rows,
        sum(n for _, n in found),
        tuple(Example(f"{shorten(str(id_))} in {n:,} orders ({n / rows:.1%})") for id_, n in found),
        "warn",
        more,
    )


def _near_equal(column: str, counts: dict[str, int], rows: int) -> Finding:
    groups: dict[str, list[str]] = {}
    for word in counts:
        groups.setdefault("".join(word.casefold().split()), []).append(word)
    found = [
        sorted(words, key=lambda word: (-counts[word], word)) for words in groups.values() if len(words) > 1
    ]
    found.sort(key=lambda words: -counts[words[1]])
    examples = (" and ".join(f"{word!r} ({counts[word]:,} rows)" for word in words[:3]) for words in found)
    return Finding(
        "values differ in more than case and spaces",
        column,
        rows,
        sum(counts[word] for words in found for word in words[1:]),
        tuple(Example(text) for text in examples),
        "warn",
    )


def _words(column: str, counts: dict[str, int], rows: int, missing: Iterable[str]) -> Finding:
    words = {word.strip().lower() for word in missing}
    found = [word for word in counts if word.strip().lower() in words]
    return Finding(
        "no category is a word for a missing value",
        column,
        rows,
        sum(counts[word] for word in found),
        tuple(Example(f"{word} in {counts[word]:,} rows") for word in found),
        "warn",
        "it is read as a category of its own; only the empty text is missing" if found else "",
    )


def _midnight(connection: duckdb.DuckDBPyConnection, dataset: DatasetDescription, rows: int) -> Finding:
    time = time_column(dataset)
    (others,) = _one(connection, f"SELECT count(*) FROM events WHERE {time} % {DAY_US} <> 0")
    all_at_midnight = rows >= LEAST_DATED and not others
    return Finding(
        "order times have a time of day",
        dataset.order_time,
        severity="warn",
        detail=(
            f"all {rows:,} are at midnight: the orders of one day are not in each other's histories"
            if all_at_midnight
            else ""
        ),
    )


def _squeezed(drift: Sequence[dict[str, Any]]) -> list[Finding]:
    spread = {entry["feature"]: entry["middle_half"] for entry in drift if entry["middle_half"] is not None}
    small = [squeezed(name, share) for name, share in spread.items() if share < LEAST_MIDDLE_HALF]
    return [Finding("scaled numbers can be told apart", severity="warn", detail="; ".join(small))]


def _twins(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, int]:
    """Values that another equals but for case and spaces, with their numbers of rows."""
    query = r"""
        WITH counted AS (
            SELECT {0} AS word, lower(regexp_replace({0}, '\s', '', 'g')) AS bare, count(*) AS n
            FROM events WHERE {0} IS NOT NULL GROUP BY 1, 2
        ), twice AS (SELECT bare FROM counted GROUP BY 1 HAVING count(*) > 1)
        SELECT word, n FROM counted WHERE bare IN (SELECT bare FROM twice) LIMIT {1}
    """
    return dict(connection.execute(query.format(quoted(name), MOST_WORDS)).fetchall())


def _is_text(connection: duckdb.DuckDBPyConnection, column: str) -> bool:
    (kind,) = _one(connection, f"SELECT typeof({quoted(column)}) FROM events LIMIT 1")
    return kind == "VARCHAR"


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return connection.execute(query).fetchall()[0]
