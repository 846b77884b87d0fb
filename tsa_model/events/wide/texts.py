"""Columns of `~`-joined texts, cut into tokens for all rows at once.

A history and the current order's own value are joined, so that a sequence is one run of tokens:

    history "x~y", current "z"   →   x~y~z~      tokens x, y, z
    history "",    current "z"   →   ~z~         tokens "", z
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import MAX_HISTORY, bare, flags, one_array
from tsa_model.events.errors import BadEvents
from tsa_model.events.reading import check_columns
from tsa_model.events.units import MICROSECONDS

SEPARATOR = "~"


class TextRows:
    """The wanted columns of some rows, all of them text."""

    def __init__(self, rows: Any, columns: Sequence[str], origin: str) -> None:
        """Take an Arrow or pandas table, or dictionaries; a missing value is the empty text."""
        self.too_long: dict[str, np.ndarray] = {}
        """Column → [n] bool, texts of more than `MAX_HISTORY` bytes, left out; only if there are any."""
        self._arrays: dict[str, pa.Array] = {}
        self._texts: dict[str, Sequence[str]] = {}
        self.n_rows = len(rows)
        if isinstance(rows, (list, tuple)):
            self._texts = _columns_of(rows, columns, origin)
        else:
            check_columns(origin, getattr(rows, "column_names", None) or list(rows.columns), columns)
            for name in columns:
                self._arrays[name], too_long = _as_text(rows[name], name, origin)
                if too_long.any():
                    self.too_long[name] = too_long

    def column(self, name: str) -> pa.Array:
        """One column."""
        return (
            self._arrays[name] if self._arrays else pc.fill_null(pa.array(self._texts[name], pa.string()), "")
        )

    def joined(
        self, history: str, current: str, blank: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Join two columns row by row, each value with a separator behind it.

        Args:
            history: name of the first column.
            current: name of the second.
            blank: [n] bool, rows whose history is left out.

        Returns:
            The bytes of all rows, uint8, and where each row ends in them, [n] int64.
        """
        if self._texts:
            return _join(self._texts[history], self._texts[current], blank)
        first = self._arrays[history]
        if blank is not None:
            first = pc.if_else(pa.array(blank), "", first)
        both = pc.binary_join_element_wise(first, self._arrays[current], "", SEPARATOR)
        offsets = np.frombuffer(both.buffers()[1], np.int32)[: len(both) + 1]
        return np.frombuffer(both.buffers()[2], np.uint8)[: offsets[-1]], offsets[1:].astype(np.int64)


def _columns_of(
    rows: Sequence[dict[str, str]], columns: Sequence[str], origin: str
) -> dict[str, Sequence[str]]:
    try:
        values = list(zip(*map(itemgetter(*columns), rows), strict=True))
    except KeyError:
        for row in rows:
            check_columns(origin, list(row), columns)
        raise
    return dict(zip(columns, values, strict=True))


def _join(
    first: Sequence[str], second: Sequence[str], blank: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """As `TextRows.joined`, without a detour over Arrow, which takes longer than all the rest."""
    if blank is not None:
        first = ["" if is_blank else text for text, is_blank in zip(first, blank, strict=True)]
    texts = [""] * (2 * len(first) + 1)
    texts[:-1:2], texts[1::2] = first, second
    try:
        joined = SEPARATOR.join(texts)
    except TypeError:
        texts = ["" if text is None else str(text) for text in texts]
        joined = SEPARATOR.join(texts)
    data = joined.encode()
    if len(data) == len(joined):
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    else:
        lengths = np.array([len(text.encode()) for text in texts], dtype=np.int64)
    return np.frombuffer(data, np.uint8), np.cumsum(lengths[:-1] + 1)[1::2]


def _as_text(column: Any, name: str, origin: str) -> tuple[pa.Array, np.ndarray]:
    try:
        array = column if isinstance(column, pa.ChunkedArray) else pa.array(column, from_pandas=True)
        values, too_long = bare(one_array(array), MAX_HISTORY)
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            text = _epoch_seconds(values)
        else:
            text = values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise BadEvents(f"{origin}: column {name!r} is not text: {error}") from error
    too_long = too_long | flags(pc.greater(pc.binary_length(text), MAX_HISTORY))
    if too_long.any():
        text = pc.if_else(pa.array(too_long), None, text)
    return pc.fill_null(text, ""), too_long


def _epoch_seconds(moments: pa.Array) -> pa.Array:
    """Seconds since 1970 as text, as the histories beside them are written, with a fraction if any."""
    zone = moments.type.tz if pa.types.is_timestamp(moments.type) else None
    microseconds = moments.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    whole = pc.divide(microseconds, MICROSECONDS)
    text = whole.cast(pa.string())
    rest = pc.subtract(microseconds, pc.multiply(whole, MICROSECONDS))
    if not pc.any(pc.not_equal(rest, 0), min_count=0).as_py():
        return text
    fraction = pc.utf8_lpad(rest.cast(pa.string()), 6, "0")
    return pc.binary_join_element_wise(text, fraction, ".")


class JoinedColumn:
    """The tokens of a joined column."""

    def __init__(self, data: np.ndarray, row_end: np.ndarray) -> None:
        self._data = data
        self._end = np.flatnonzero(data == ord(SEPARATOR))
        self._row_end = row_end

    @property
    def count(self) -> np.ndarray:
        """JoinedColumn per row, [n] int64."""
        return np.diff(np.searchsorted(self._end, self._row_end), prepend=0)

    def has_counts(self, count: np.ndarray) -> bool:
        """Whether every row has as many tokens as `count` says, [n] int64, all above 0."""
        last = np.cumsum(count) - 1
        return len(self._end) == count.sum() and bool((self._end[last] == self._row_end - 1).all())

    def words(self) -> tuple[np.ndarray, list[str]]:
        """Return each token's place among the distinct ones, [tokens] int32, and those."""
        offsets = np.zeros(len(self._end) + 1, dtype=np.int32)
        offsets[1:] = self._end + 1  # with the separator behind it: no byte is moved
        texts = pa.StringArray.from_buffers(len(self._end), pa.py_buffer(offsets), pa.py_buffer(self._data))
        encoded = texts.dictionary_encode()
        return encoded.indices.to_numpy(), [word[:-1] for word in encoded.dictionary.to_pylist()]

    def texts(self) -> pa.StringArray:
        """All tokens as text, empty ones as null."""
        offsets = np.zeros(len(self._end) + 1, dtype=np.int32)
        offsets[1:] = self._end - np.arange(len(self._end))
        is_valid = np.packbits(offsets[1:] != offsets[:-1], bitorder="little")
        data = self._data.tobytes().translate(None, delete=SEPARATOR.encode())
        buffers = (pa.py_buffer(offsets), pa.py_buffer(data), pa.py_buffer(is_valid))
        return pa.StringArray.from_buffers(len(self._end), *buffers)
