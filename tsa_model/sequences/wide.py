"""The wide layout: one row per target order, each history a text of values joined by `~`, oldest first.

Per key there are two histories, of the categorical and of the numerical features, each with its own order
ids and dates. They are matched on the order id; what only one of them has is dropped.

    cat_objectId_by_cid  a~b~c      cat_0_by_cid  x~y~z       aligned:  b y 7
    num_objectId_by_cid  b~c~d      num_0_by_cid  7~8~9                 c z 8
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.sequences.casting import MISSING_TEXTS, cast_moment, cast_number
from tsa_model.sequences.columns import MICROSECONDS, Codes
from tsa_model.sequences.preprocessing import Preprocessing
from tsa_model.sequences.problems import Problems
from tsa_model.sequences.reading import BadEvents

SEPARATOR = "~"


@dataclass(frozen=True)
class WideLayout:
    """Names of the columns of wide rows."""

    order_id: str
    order_time: str
    categorical: tuple[str, ...]
    numerical: tuple[str, ...]
    numeric_categorical: frozenset[str] = frozenset()
    """Categories written as numbers, of which the whole part counts: "3.0" is "3"."""
    float_categorical: frozenset[str] = frozenset()
    """Categories written as numbers: "0.0" is "0", "1.5" stays."""

    def history(self, feature: str, key: str) -> str:
        """Name of a feature's history column."""
        return f"{feature}_by_{key}"

    def columns(self, keys: Sequence[str]) -> list[str]:
        """Names of all columns that sequences are made from."""
        names = [self.order_id, self.order_time, *self.categorical, *self.numerical]
        for key in keys:
            marks = [f"{kind}_{mark}" for kind in ("cat", "num") for mark in ("objectId", "orderDate")]
            names += [self.history(name, key) for name in (*self.categorical, *self.numerical, *marks)]
        return list(dict.fromkeys(names))


@dataclass
class WideSequences:
    """One key's sequences of n rows, one after the other, each ending with the current order."""

    length: np.ndarray
    """[n] int64, at least 1."""
    categorical: dict[str, Codes]
    numerical: dict[str, np.ndarray]
    """[sum of length] float64; NaN = missing."""
    time_us: np.ndarray
    """[sum of length] int64."""


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
    keys = ("cid", "ccid")
    seq_len = int(meta.get("seq_len", 51))
    preprocessing = Preprocessing.from_legacy(meta)
    table = as_text_table(rows, layout.columns(keys))
    arrays = {}
    problems = Problems(table.num_rows)
    for key in keys:
        sequences = read_sequences(table, layout, key, seq_len, problems)
        problems.raise_first(table[layout.order_id], "the given rows")
        arrays[f"{key}_cat"], arrays[f"{key}_num"] = _pad(sequences, preprocessing, layout, seq_len)
    return arrays


def _names(value: str | Iterable[str] | None) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value or ())


def as_text_table(rows: Any, columns: Sequence[str]) -> pa.Table:
    """Return the wanted columns of wide rows as an Arrow table of text."""
    if hasattr(rows, "column_names"):
        return pa.table({name: rows[name].cast(pa.string()) for name in columns})
    if hasattr(rows, "columns"):
        return pa.table({name: pa.array(rows[name], pa.string(), from_pandas=True) for name in columns})
    rows = list(rows)
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing:
        raise BadEvents(f"the given rows: column {missing[0]!r} is missing")
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in columns})


def _pad(
    sequences: WideSequences, preprocessing: Preprocessing, layout: WideLayout, seq_len: int
) -> tuple[np.ndarray, np.ndarray]:
    n, length = len(sequences.length), sequences.length
    last = np.cumsum(length) - 1
    back = np.repeat(last, length) - np.arange(length.sum())
    slot = np.repeat(np.arange(1, n + 1) * seq_len - 1, length) - back
    dtype = np.int16 if preprocessing.n_embedding <= np.iinfo(np.int16).max else np.int32
    cat = np.zeros((n * seq_len, len(layout.categorical)), dtype=dtype)
    for place, name in enumerate(layout.categorical):
        cat[slot, place] = preprocessing.categorical[name].encode(sequences.categorical[name])
    num = np.zeros((n * seq_len, len(layout.numerical) + 2))
    for place, name in enumerate(layout.numerical):
        num[slot, place] = preprocessing.numerical[name].apply(sequences.numerical[name])
    now_us = np.repeat(sequences.time_us[last], length)
    num[slot, -2] = (now_us - sequences.time_us) / MICROSECONDS
    num[slot, -1] = 1
    return cat.reshape(n, seq_len, -1), num.reshape(n, seq_len, -1)


def read_sequences(
    table: pa.Table, layout: WideLayout, key: str, seq_len: int, problems: Problems
) -> WideSequences:
    """Split and align one key's histories and put the current order at their end.

    Args:
        table: the columns `layout.columns` names, all text.
        layout: the names.
        key: suffix of the history columns.
        seq_len: L; of longer histories the latest L − 1 orders are kept.
        problems: notes the rows that cannot be used; their sequences are meaningless.
    """
    cat = _History(table, layout, "cat", key, problems)
    num = _History(table, layout, "num", key, problems)
    now = cast_moment(_flat(table[layout.order_time]))
    problems.note(
        layout.order_time, table[layout.order_time], now.bad | _is_null(now.values), f"not {now.asked}"
    )
    in_cat, in_num = _align(cat, num)
    kept = _latest(cat.row[in_cat], seq_len - 1)
    in_cat, in_num = in_cat[kept], in_num[kept]
    row = cat.row[in_cat]

    n = table.num_rows
    length = np.bincount(row, minlength=n) + 1
    current = np.cumsum(length) - 1
    earlier = np.ones(length.sum(), dtype=bool)
    earlier[current] = False
    shape = _Shape(earlier, current)

    now_us = pc.fill_null(now.values, 0).to_numpy()
    past_us = cat.time_us[in_cat]
    name = layout.history("cat_orderDate", key)
    problems.note_rows(
        name, table[name], row[num.time_us[in_num] != past_us], "not the date of num_orderDate"
    )
    problems.note_rows(name, table[name], row[past_us > now_us[row]], "later than the current order")
    return WideSequences(
        length=length,
        categorical={
            name: _categorical(name, cat.tokens(name), _flat(table[name]), in_cat, shape, layout)
            for name in layout.categorical
        },
        numerical={
            name: shape.join(
                num.numbers(name, num.tokens(name))[in_num],
                num.numbers(name, _flat(table[name]), current=True),
            )
            for name in layout.numerical
        },
        time_us=shape.join(past_us, now_us),
    )


@dataclass(frozen=True)
class _Shape:
    """Where history and current orders lie in the flat sequences."""

    is_earlier: np.ndarray
    current: np.ndarray

    def join(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        joined = np.empty(len(self.is_earlier), dtype=np.result_type(past, now))
        joined[self.is_earlier] = past
        joined[self.current] = now
        return joined


class _History:
    """The categorical or the numerical history of one key: its entries of all rows, flat."""

    def __init__(self, table: pa.Table, layout: WideLayout, kind: str, key: str, problems: Problems) -> None:
        self._table, self._layout, self._key, self._problems = table, layout, key, problems
        id_name = layout.history(f"{kind}_objectId", key)
        ids = _flat(table[id_name])
        split = pc.split_pattern(ids, SEPARATOR)
        is_empty = _flags(pc.is_in(ids, pa.array(MISSING_TEXTS))) | _is_null(ids)
        self.count = np.where(is_empty, 0, pc.fill_null(pc.list_value_length(split), 0).to_numpy())
        self.row = np.repeat(np.arange(table.num_rows), self.count)
        self.id = self._entries(split)
        self.time_us = self._dates(layout.history(f"{kind}_orderDate", key))

    def tokens(self, feature: str) -> pa.Array:
        """The feature's values, [entries] text."""
        return self._split(self._layout.history(feature, self._key))

    def _split(self, name: str) -> pa.Array:
        split = pc.split_pattern(_flat(self._table[name]), SEPARATOR)
        count = pc.fill_null(pc.list_value_length(split), 0).to_numpy()
        unequal = (count != self.count) & (self.count > 0)
        self._problems.note(name, self._table[name], unequal, "another number of values than order ids")
        if unequal.any():
            return pa.repeat("", len(self.row))
        return self._entries(split)

    def _entries(self, split: pa.ListArray) -> pa.Array:
        """All values, without those of rows that have no history."""
        values = split.flatten()
        if len(values) == len(self.row):
            return values
        count = pc.fill_null(pc.list_value_length(split), 0).to_numpy()
        return values.filter(pa.array(np.repeat(self.count > 0, count)))

    def _dates(self, name: str) -> np.ndarray:
        moment = cast_moment(self._split(name))
        bad = moment.bad | _is_null(moment.values)
        self._problems.note_rows(name, self._table[name], self.row[bad], f"not {moment.asked}")
        return pc.fill_null(moment.values, 0).to_numpy()

    def numbers(self, feature: str, texts: pa.Array, current: bool = False) -> np.ndarray:
        """The feature's values as float64, NaN where missing."""
        number = cast_number(texts)
        name = feature if current else self._layout.history(feature, self._key)
        rows = np.flatnonzero(number.bad) if current else self.row[number.bad]
        self._problems.note_rows(name, self._table[name], rows, f"not {number.asked}")
        return number.values.to_numpy(zero_copy_only=False)


def _align(cat: _History, num: _History) -> tuple[np.ndarray, np.ndarray]:
    """Entries that both histories have: their places in each, in the categorical one's order."""
    encoded = pa.chunked_array([cat.id, num.id]).dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in encoded.chunks]
    n_codes = len(encoded.chunk(0).dictionary) + 1
    cat_entry, num_entry = cat.row * n_codes + codes[0], num.row * n_codes + codes[1]
    by_entry = np.argsort(num_entry, kind="stable")
    place = np.searchsorted(num_entry, cat_entry, sorter=by_entry)
    place = by_entry[np.minimum(place, len(by_entry) - 1)] if len(by_entry) else place
    in_both = num_entry[place] == cat_entry if len(by_entry) else np.zeros(len(place), dtype=bool)
    return np.flatnonzero(in_both), place[in_both]


def _latest(row: np.ndarray, most: int) -> np.ndarray:
    """Which entries are among the last `most` of their row; `row` is ascending."""
    end = np.searchsorted(row, row, side="right")
    return end - np.arange(len(row)) <= most


def _categorical(
    name: str, tokens: pa.Array, now: pa.Array, in_cat: np.ndarray, shape: _Shape, layout: WideLayout
) -> Codes:
    encoded = pa.chunked_array([tokens, now]).dictionary_encode().unify_dictionaries()
    words = encoded.chunk(0).dictionary.to_pylist()
    texts = [normal_text(name, word, layout) for word in words]
    values = list(dict.fromkeys(text for text in texts if text is not None))
    number = {text: place for place, text in enumerate(values)}
    table = np.array([-1 if text is None else number[text] for text in texts] + [-1], dtype=np.int32)
    past, current = (table[pc.fill_null(c.indices, len(words)).to_numpy()] for c in encoded.chunks)
    return Codes(shape.join(past[in_cat], current), values)


def normal_text(name: str, text: str, layout: WideLayout) -> str | None:
    """Return a category in the spelling of the dictionaries; None when it is missing."""
    if text in MISSING_TEXTS:
        return None
    if name in layout.numeric_categorical:
        return str(int(float(text)))
    if name in layout.float_categorical:
        number = float(text)
        return str(int(number)) if number.is_integer() else str(number)
    return text


def _flat(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        combined = pa.concat_arrays(combined.chunks) if combined.num_chunks else pa.array([], column.type)
    return combined


def _is_null(values: pa.Array) -> np.ndarray:
    return _flags(pc.is_null(values))


def _flags(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
