"""The wide layout, one row per target order with its histories: rows → padded arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.errors import BadEvents
from tsa_model.events.units import MICROSECONDS
from tsa_model.events.wide.histories import KEYS, UnusableRows, WideLayout, WideSequences, read_sequences
from tsa_model.events.wide.matching import Matching
from tsa_model.events.wide.texts import TextRows
from tsa_model.sequences.features.preprocessing import Preprocessing

BLOCK_ROWS = 1024
"""Rows parsed at a time, so that a column's tokens stay in the cache."""


def parse_wide_rows(rows: Any, meta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parse wide rows with given dictionaries, as the legacy does.

    Args:
        rows: dictionaries of strings, or an Arrow or pandas table of text columns.
        meta: `categorical`, `numerical` (feature names), `categorical_map` (feature → text → index),
            `numerical_scale`, `numerical_min`, `default_values`, `numeric_categorical`,
            `float_categorical`, `n_embedding`, and `seq_len` (default 51).

    Returns:
        For both keys `{key}_cat` [n, L, Fc] int16 (int32 for a large vocabulary) and `{key}_num`
        [n, L, Fn + 2] float64: the scaled features, the time in seconds (not capped), not_padded.

    Raises:
        BadEvents: a row cannot be parsed; the message names column and order id.
    """
    layout = WideLayout(
        order_id=meta.get("order_id", "order_id"),
        order_time=meta.get("order_time", "orderDate"),
        categorical=tuple(meta["categorical"]),
        numerical=tuple(meta["numerical"]),
        numeric_categorical=_names(meta.get("numeric_categorical")),
        float_categorical=_names(meta.get("float_categorical")),
    )
    seq_len = int(meta.get("seq_len", 51))
    preprocessing = Preprocessing.from_legacy(meta)
    index_dtype = np.int16 if preprocessing.n_embedding <= np.iinfo(np.int16).max else np.int32
    n = len(rows)
    arrays: dict[str, np.ndarray] = {}
    matching = dict.fromkeys(KEYS, Matching())
    for key in KEYS:
        arrays[f"{key}_cat"] = np.zeros((n, seq_len, len(layout.categorical)), dtype=index_dtype)
        arrays[f"{key}_num"] = np.zeros((n, seq_len, len(layout.numerical) + 2))
    for first in range(0, n, BLOCK_ROWS):
        block = slice(first, min(first + BLOCK_ROWS, n))
        texts = TextRows(_slice(rows, block), layout.columns(KEYS), "the given rows")
        for key in KEYS:
            try:
                sequences = read_sequences(texts, layout, key, seq_len)
            except UnusableRows as error:
                order_id = texts.column(layout.order_id)[int(error.rows[0])]
                raise BadEvents(f"{error}, e.g. {error.values[0].as_py()!r} (order {order_id})") from None
            matching[key] += sequences.matching
            _pad(sequences, preprocessing, arrays[f"{key}_cat"][block], arrays[f"{key}_num"][block])
    for key, found in matching.items():
        found.check(key)
    return arrays


def _names(value: str | Iterable[str] | None) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value or ())


def _slice(rows: Any, part: slice) -> Any:
    if isinstance(rows, pa.Table):
        return rows.slice(part.start, part.stop - part.start)
    return rows.iloc[part] if hasattr(rows, "iloc") else rows[part]


def _pad(sequences: WideSequences, fitted: Preprocessing, cat: np.ndarray, num: np.ndarray) -> None:
    """Write encoded sequences into the zeros of `cat` [n, L, Fc] and `num` [n, L, Fn + 2]."""
    n, seq_len, _ = cat.shape
    length, last = sequences.length, np.cumsum(sequences.length) - 1
    now_us = np.repeat(sequences.time_us[last], length)
    slot = np.repeat(np.arange(n) * seq_len + seq_len - 1 - last, length) + np.arange(length.sum())
    indices = [fitted.categorical[name].encode(codes) for name, codes in sequences.categorical.items()]
    numbers = [fitted.numerical[name].apply(values) for name, values in sequences.numerical.items()]
    numbers += [(now_us - sequences.time_us) / MICROSECONDS, np.ones(len(now_us))]
    for columns, padded in ((indices, cat), (numbers, num)):
        by_feature = np.empty((len(columns), len(slot)), dtype=padded.dtype)
        for place, values in enumerate(columns):
            by_feature[place] = values
        padded.reshape(n * seq_len, len(columns))[slot] = by_feature.T
