"""Arrow columns of any type a file may have, as the few types that are cast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TEXT = 256
"""Longest id or category, in bytes of UTF-8."""
MAX_HISTORY = 50 * (MAX_TEXT + 1)
"""Longest history of a wide row, in bytes."""
SHOWN_CHARACTERS = 80
"""Longer values are cut in messages."""
KEPT_BYTES = 2**14
"""Longer texts are cut where rows are set aside: a million times one of them would fill the disk."""


def is_text(type_: pa.DataType) -> bool:
    """Whether a column is text: bytes are text too, for some engines write it so."""
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    parts = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(kind(type_) for kind in (*texts, *parts))


def value_type(type_: pa.DataType) -> pa.DataType:
    """The type of the values themselves, however they are encoded."""
    is_encoded = pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_)
    return type_.value_type if is_encoded else type_


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column's chunks as one array; text as `string`, bare or in a dictionary."""
    if isinstance(column, pa.ChunkedArray):
        combined = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if isinstance(combined, pa.ChunkedArray):
            chunks = combined.chunks
            combined = pa.concat_arrays(chunks) if chunks else pa.array([], column.type)
    else:
        combined = column
    if pa.types.is_run_end_encoded(combined.type):
        combined = pc.run_end_decode(combined)
    if pa.types.is_dictionary(combined.type):
        if not is_text(combined.type.value_type):
            return one_array(combined.dictionary_decode())
        words = _as_string(combined.dictionary)
        return pa.DictionaryArray.from_arrays(combined.indices, words)
    return _as_string(combined) if is_text(combined.type) else combined


def _as_string(values: pa.Array) -> pa.Array:
    return values if values.type == pa.string() else values.cast(pa.string())


def bare(values: pa.Array, most_bytes: int = MAX_TEXT) -> tuple[pa.Array, np.ndarray]:
    """Decode a dictionary without letting one long text fill the memory.

    Args:
        values: as `one_array` returns them.
        most_bytes: longest text of a dictionary that is decoded.

    Returns:
        The values, null where the text is longer, and [n] bool, True there.
    """
    if not pa.types.is_dictionary(values.type):
        return values, np.zeros(len(values), dtype=bool)
    too_long = pc.greater(pc.binary_length(values.dictionary), most_bytes)
    if not pc.any(too_long, min_count=0).as_py():
        return values.dictionary_decode(), np.zeros(len(values), dtype=bool)
    short = pc.if_else(too_long, None, values.dictionary)
    return pc.take(short, values.indices), flags(pc.take(too_long, values.indices))


def shown(column: pa.ChunkedArray | pa.Array, rows: np.ndarray | Sequence[int]) -> pa.Array:
    """The raw values of some rows as text for messages, long ones cut."""
    values = one_array(column).take(pa.array(rows, pa.int64()))
    if pa.types.is_dictionary(values.type):
        return pc.take(_shortened(values.dictionary), values.indices)
    return _shortened(as_text(values))


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The raw values as text, as they are kept of rows set aside; very long ones are cut."""
    values = one_array(values)
    if pa.types.is_dictionary(values.type):
        words = values.dictionary
        is_long = pc.greater(pc.binary_length(words), KEPT_BYTES)
        if pc.any(is_long, min_count=0).as_py():
            words = pc.if_else(is_long, _cut(words, SHOWN_CHARACTERS), words)
        return pc.take(words, values.indices)
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())


def flags(values: pa.Array) -> np.ndarray:
    """A Boolean column as [n] bool; null is False."""
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)


def _cut(texts: pa.Array, characters: int) -> pa.Array:
    return pc.utf8_slice_codeunits(texts, 0, characters)


def _shortened(texts: pa.Array) -> pa.Array:
    is_long = pc.greater(pc.binary_length(texts), SHOWN_CHARACTERS)
    if not pc.any(is_long, min_count=0).as_py():
        return texts
    kept = _cut(texts, SHOWN_CHARACTERS)
    with_dots = pc.binary_join_element_wise(kept, "…", "")
    return pc.if_else(pc.equal(pc.binary_length(kept), pc.binary_length(texts)), texts, with_dots)
