"""Raw events → `EventColumns`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tsa_model.dataset import DatasetDescription
from tsa_model.sequences.columns import MICROSECONDS, Codes, EventColumns


def read_columns(events: Any, description: DatasetDescription) -> EventColumns:
    """Read events into memory."""
    if isinstance(events, (str, Path)):
        frame = pd.read_csv(events) if ".csv" in Path(events).suffixes else pq.read_table(events).to_pandas()
    elif isinstance(events, pa.Table):
        frame = events.to_pandas()
    else:
        frame = events
    wanted = [description.order_id, description.customer_id, description.order_time, description.label]
    wanted += [*description.raw_categorical, *description.raw_numerical]
    wanted += [description.card_id] if description.card_id else []
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ValueError(f"columns missing: {missing}; the events have {list(frame.columns)}")
    order_id = frame[description.order_id]
    ids = (
        order_id.to_numpy(np.int64)
        if pd.api.types.is_integer_dtype(order_id)
        else np.char.encode(order_id.astype(str).to_numpy(dtype=np.str_), "utf-8")
    )
    time = frame[description.order_time]
    if pd.api.types.is_datetime64_any_dtype(time):
        time = time.dt.tz_localize(None) if time.dt.tz is not None else time
        time_us = time.to_numpy("datetime64[us]").astype(np.int64)
    else:
        time_us = np.round(time.to_numpy(np.float64) * MICROSECONDS).astype(np.int64)
    order = np.lexsort((ids, time_us))
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"column {description.order_id!r} has duplicates")
    label = frame[description.label].astype("Float64").fillna(-1).to_numpy(np.int8)
    keys = {}
    for key, column in zip(("cid", "ccid"), (description.customer_id, description.card_id), strict=True):
        if column is not None:
            keys[key] = pd.factorize(frame[column], sort=True)[0].astype(np.int32)[order]
    columns = EventColumns(ids[order], time_us[order], label[order], keys)
    for name in description.raw_categorical:
        codes, values = pd.factorize(frame[name], sort=True)
        columns.categorical[name] = Codes(codes.astype(np.int32)[order], [str(v) for v in values])
    for name in description.raw_numerical:
        columns.numerical[name] = frame[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)[order]
    return columns
