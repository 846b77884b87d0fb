"""Raw events of any size → sorted columns: cleaned part by part, sorted by the engine, kept in files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import one_array
from tsa_model.events.cleaning import wanted_columns
from tsa_model.events.errors import BadEvents
from tsa_model.events.quarantine import REPEATED, BadRows
from tsa_model.events.reading import are_sources
from tsa_model.events.units import NO_KEY
from tsa_model.sequences.columns.column_files import ColumnFiles, IdColumn, TextColumn
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.sorting.duckdb_memory import duckdb_in_words
from tsa_model.sequences.sorting.engine import (
    Engine,
    EngineName,
    chronological,
    conflicting_rows,
    distinct_keys,
    open_engine,
    repeated_rows,
    without_repeated,
)
from tsa_model.settings.dataset import DatasetDescription

ORDERING_NAMES = {"customer": "cid", "card": "ccid"}
"""Key column of the cleaned events → name of its ordering."""
MOST_REPEATED = 500_000
"""Rows with a repeated order id that are looked at; a log read twice would otherwise fill the memory."""


@dataclass
class Ingested:
    """The usable orders in chronological order, and how many were not usable."""

    orders: Orders
    keys: dict[str, np.ndarray]
    """Ordering name → [N] int32 number of the key; -1 = the order has none."""
    n_quarantined: int
    key_values: dict[str, pa.Array]
    """Ordering name → the key of each number, in numbers' order; empty unless it was asked for."""


def ingest(
    events: Any,
    description: DatasetDescription,
    files: ColumnFiles,
    work: Path,
    bad_path: Path,
    engine_name: EngineName = "duckdb",
    with_key_values: bool = False,
) -> Ingested:
    """Read, check and sort events.

    Args:
        events: see `read_parts`.
        description: roles, and what to do with bad rows.
        files: where the columns are written.
        work: a folder to make, for temporary files.
        bad_path: where the quarantine file is written, if there is anything to write.
        engine_name: duckdb or pyspark, which does the relational work.
        with_key_values: return the keys themselves too, not only their numbers.

    Raises:
        BadEvents: the events cannot be used.
    """
    work.mkdir()
    with duckdb_in_words(work, "sorting the orders"):
        return _ingest(events, description, files, work, bad_path, engine_name, with_key_values)


def _ingest(
    events: Any,
    description: DatasetDescription,
    files: ColumnFiles,
    work: Path,
    bad_path: Path,
    engine_name: EngineName,
    with_key_values: bool,
) -> Ingested:
    engine = open_engine(engine_name, work)
    try:
        with BadRows(description, bad_path) as bad:
            table, n_rows = engine.load(events, description, bad)
            if not n_rows:
                named = isinstance(events, (str, Path)) or are_sources(events)
                where = ", ".join(map(str, events if are_sources(events) else [events]))
                raise BadEvents(f"{where if named else 'events'}: there are no rows")
            table = _without_repeated(engine, table, bad, description)
            bad.check(n_rows)
        keys = [name for name in ORDERING_NAMES if name in table.columns]
        orders = _spill(engine, chronological(table, keys), keys, description, files)
        key_values = (
            {ORDERING_NAMES[key]: one_array(engine.fetch(distinct_keys(table, key))["value"]) for key in keys}
            if with_key_values
            else {}
        )
    finally:
        engine.close()
    numbers = {ORDERING_NAMES[key]: files.read(key) for key in keys}
    return Ingested(orders, numbers, bad.n_rows, key_values)


def _without_repeated(
    engine: Engine, table: ir.Table, bad: BadRows, description: DatasetDescription
) -> ir.Table:
    """Keep one of exact duplicates, and set aside other rows with one order id: which is right is unknown."""
    repeated = repeated_rows(table)
    if not len(engine.fetch(repeated.limit(1))):
        return table
    conflicting = conflicting_rows(repeated)
    found = engine.fetch(conflicting.order_by("order_id", "time_us").limit(MOST_REPEATED))
    if len(found):
        reasons = pa.repeat(f"column {description.order_id}: {REPEATED}", len(found))
        ids = found["order_id"].cast(pa.string())
        bad.add("the events", ids, reasons, ids, _as_they_came(found, description))
    return without_repeated(table, repeated, conflicting)


def _as_they_came(cleaned: pa.Table, description: DatasetDescription) -> pa.Table:
    """Cleaned rows under the raw columns' names, in their order."""
    d = description
    names = {d.order_id: "order_id", d.customer_id: "customer", d.order_time: "time_us", d.label: "label"}
    names |= {d.card_id: "card"} if d.card_id is not None else {}
    names |= {d.label_time: "known_us"} if d.label_time is not None else {}
    names |= {column: f"c{place}" for place, column in enumerate(d.raw_categorical)}
    names |= {column: f"n{place}" for place, column in enumerate(d.raw_numerical)}
    rows = {column: cleaned[names[column]] for column in wanted_columns(d)}
    for column in (d.order_time, *d.label_columns[1:]):
        rows[column] = rows[column].cast(pa.timestamp("us"))
    return pa.table(rows)


def _spill(
    engine: Engine,
    events: ir.Table,
    keys: list[str],
    description: DatasetDescription,
    files: ColumnFiles,
) -> Orders:
    """Stream the sorted events into column files."""
    ids = IdColumn(files)
    most = 10 * description.max_values
    texts = {f"c{place}": TextColumn(name, most) for place, name in enumerate(description.raw_categorical)}
    for batch in engine.stream(events):
        ids.append(batch["order_id"])
        files.append("time_us", batch["time_us"].to_numpy())
        files.append("label", batch["label"].to_numpy())
        if description.label_time is not None:
            files.append("known_us", batch["known_us"].to_numpy())
        for key in keys:
            files.append(key, pc.fill_null(batch[key], NO_KEY).to_numpy())
        for name, text in texts.items():
            files.append(name, text.encode(batch[name]))
        for place, _ in enumerate(description.raw_numerical):
            files.append(f"n{place}", batch[f"n{place}"].to_numpy(zero_copy_only=False))
    if not ids.n_rows:
        raise BadEvents("no rows are left after those that cannot be used were set aside")
    orders = Orders(order_id=ids.read(), time_us=files.read("time_us"), label=files.read("label"))
    if description.label_time is not None:
        orders.known_us = files.read("known_us")
    for name, text in texts.items():
        orders.categorical.add(text.name, partial(text.codes, files, name))
    for place, column in enumerate(description.raw_numerical):
        orders.numerical.add(column, partial(files.read, f"n{place}"))
    return orders
