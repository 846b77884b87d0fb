"""The event log, one row per order → `Prepared`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import KeyedEvents, Prepared
from tsa_model.sequences.features.derived import (
    add_calendar_columns,
    add_log_columns,
    add_window_columns,
)
from tsa_model.sequences.features.lags import add_lag_columns
from tsa_model.sequences.features.orderings import order_by_key
from tsa_model.sequences.sorting.engine import EngineName
from tsa_model.sequences.sorting.ingest import Ingested, ingest
from tsa_model.settings.dataset import DatasetDescription

MOST_ORDERS = 2**31 - 1
"""Positions are int32."""


def prepare_event_log(
    events: Any,
    description: DatasetDescription,
    files: ColumnFiles,
    work: Path,
    bad_path: Path,
    engine: EngineName = "duckdb",
) -> Prepared:
    """Read an event log, sort it by each key, and compute the derived columns.

    Args:
        events: see `read_parts`.
        description: roles, derived columns, and what to do with bad rows.
        files: where the columns are written; the result maps them.
        work: a folder to make, for temporary files.
        bad_path: where the quarantine file is written, if there is anything to write.
        engine: DuckDB or Spark, which does the relational work.

    Raises:
        BadEvents: the events cannot be used.
    """
    return derive(ingest(events, description, files, work, bad_path, engine), description, files)


def derive(ingested: Ingested, description: DatasetDescription, files: ColumnFiles) -> Prepared:
    """Sort clean orders by each key and compute the derived columns.

    Args:
        ingested: the orders; derived columns are added to them.
        description: names the derived columns.
        files: where the columns are written; the result maps them.
    """
    orders = ingested.orders
    if len(orders) >= MOST_ORDERS:
        raise ValueError(f"{len(orders):,} orders are more than a store can number ({MOST_ORDERS:,})")
    add_calendar_columns(orders, description, files)
    add_log_columns(orders, description, files)
    keyed = {}
    for name, key in ingested.keys.items():
        ordering = order_by_key(key, orders.time_us)
        add_window_columns(orders, name, ordering, description, files)
        add_lag_columns(orders, name, ordering, description, files)
        keyed[name] = KeyedEvents(columns=orders, places=files.put_all(name, vars(ordering)))
        del ordering  # with tens of millions of orders these are hundreds of megabytes
    return Prepared(orders=orders, keyed=keyed, n_quarantined=ingested.n_quarantined)
