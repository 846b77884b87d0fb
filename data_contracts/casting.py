"""From the types of a file to the types of the validated events, value by value, without guessing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.columns import Column, Kind
from tsa_model.events.casting import MISSING_TEXTS, cast_category
from tsa_model.events.reading import is_text, one_array

MAX_TEXT = 256
"""Longest text of an id or a category, in bytes."""
MAX_HISTORY = 50 * (MAX_TEXT + 1)
"""Longest history of a wide row, in bytes."""
MICROSECONDS = 1_000_000
MOST_SECONDS = 2**63 // MICROSECONDS - 1
EXACT_FLOAT = 2.0**53
"""Whole numbers below this are exact in float64."""

_WHOLE = re.compile(r"[+-]?\d{1,18}")
_PLAIN_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)|nan", re.IGNORECASE)


@dataclass(frozen=True)
class CastColumn:
    """A column in its canonical type."""

    values: pa.Array
    """Canonical values; null where the raw value could not be read."""
    unreadable: np.ndarray
    """[rows] bool, True where the raw value is not one of its kind."""


def sentence(kind: Kind, name: str) -> str:
    """What `cast` asks of every value of a column."""
    asked = {
        "id": f"a whole number or a text of at most {MAX_TEXT} bytes, none of them zero",
        "time": "a moment: whole epoch seconds or an ISO date and time",
        "label": "a number",
        "category": f"a number or a text of at most {MAX_TEXT} bytes, none of them zero",
        "number": "a number",
        "raw": f"a text of at most {MAX_HISTORY} bytes, none of them zero",
    }
    return f"every {name} is {asked[kind]}"


def suits(type_: pa.DataType, kind: Kind) -> bool:
    """Whether a typed (Parquet) column can hold this kind of value at all."""
    if pa.types.is_dictionary(type_):
        return suits(type_.value_type, kind)
    text = is_text(type_)
    whole = pa.types.is_integer(type_)
    number = whole or pa.types.is_floating(type_)
    boolean = pa.types.is_boolean(type_)
    return {
        "id": text or number,
        "time": whole or pa.types.is_timestamp(type_),
        "label": number or boolean or pa.types.is_null(type_),
        "category": text or number or boolean or pa.types.is_null(type_),
        "number": number or boolean or pa.types.is_decimal(type_),
        "raw": text or number or boolean or pa.types.is_null(type_),
    }[kind]


def is_plain_whole(values: pa.ChunkedArray) -> bool:
    """Whether every text is a whole number in its one usual spelling ('7', not '007' or '+7')."""
    return bool(pc.all(pc.match_substring_regex(values, _PLAIN_WHOLE), min_count=0).as_py())


def cast(raw: pa.ChunkedArray, column: Column, as_whole: bool = False) -> CastColumn:
    """Cast one column to its canonical type.

    Ids become int64 or text, times int64 microseconds since 1970 UTC, labels and numbers float64 (finite or
    not, a label of any value: that is for the suite to say), categories text; raw values stay.

    Args:
        raw: values as read; text from a CSV, or a type that `suits` the kind.
        column: its description.
        as_whole: read a text id as a whole number.
    """
    values = one_array(raw)
    too_long = _none(values)
    if pa.types.is_dictionary(values.type):
        values, too_long = _decode(values, MAX_HISTORY if column.kind == "raw" else MAX_TEXT)
    if is_text(values.type) and column.kind != "raw":
        values = pc.if_else(pc.is_in(values, pa.array(MISSING_TEXTS, values.type)), None, values)
    result = _CASTS[column.kind](values, as_whole)
    return CastColumn(result.values, result.unreadable | too_long)


def _decode(values: pa.DictionaryArray, most_bytes: int) -> tuple[pa.Array, np.ndarray]:
    """Decode, with over-long texts as null, so that one of them cannot fill the memory."""
    dictionary = values.dictionary
    if not is_text(dictionary.type):
        return values.dictionary_decode(), np.zeros(len(values), dtype=bool)
    too_long = pc.greater(pc.binary_length(dictionary), most_bytes)
    short = pc.if_else(too_long, None, dictionary)
    marked = pc.take(too_long, values.indices)
    return pc.take(short, values.indices), _mask(marked)


def _cast_id(values: pa.Array, as_whole: bool) -> CastColumn:
    if is_text(values.type):
        return _parse(values, pa.int64(), _parse_whole) if as_whole else _cast_text(values)
    return _cast_whole(values)


def _cast_whole(values: pa.Array) -> CastColumn:
    if not pa.types.is_floating(values.type):
        # uint64 beyond int64 is the only integer that does not fit.
        most = pa.scalar(2**63 - 1, pa.uint64())
        unreadable = _mask(pc.greater(values, most)) if values.type == pa.uint64() else _none(values)
        kept = pc.if_else(pa.array(~unreadable), values, None)
        return CastColumn(kept.cast(pa.int64()), unreadable)
    number = _without_nan(values.cast(pa.float64()))
    usable = pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), EXACT_FLOAT))
    unreadable = _mask(pc.invert(usable))
    return CastColumn(pc.if_else(usable, number, None).cast(pa.int64()), unreadable)


def _cast_time(values: pa.Array, as_whole: bool) -> CastColumn:
    if pa.types.is_timestamp(values.type):
        # In another zone or unit it is the same moment; finer parts of a microsecond are dropped.
        microseconds = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64())
        return CastColumn(microseconds, _none(values))
    if is_text(values.type):
        try:  # the usual spelling of a data frame's dates, without a loop
            return CastColumn(values.cast(pa.timestamp("us")).cast(pa.int64()), _none(values))
        except pa.ArrowInvalid:
            return _parse_distinct(values, pa.int64(), _parse_moment)
    seconds = _cast_whole(values)
    unreadable = seconds.unreadable | _mask(pc.greater(pc.abs(seconds.values), MOST_SECONDS))
    kept = pc.if_else(pa.array(unreadable), None, seconds.values)
    return CastColumn(pc.multiply(kept, MICROSECONDS), unreadable)


def _cast_label(values: pa.Array, as_whole: bool) -> CastColumn:
    number = _cast_number(values, as_whole)
    return CastColumn(_without_nan(number.values), number.unreadable)


def _cast_category(values: pa.Array, as_whole: bool) -> CastColumn:
    if is_text(values.type):
        return _cast_text(values)
    category = cast_category(values)
    return CastColumn(category.values, category.bad)


def _cast_raw(values: pa.Array, as_whole: bool) -> CastColumn:
    return _cast_text(values, MAX_HISTORY) if is_text(values.type) else CastColumn(values, _none(values))


def _cast_number(values: pa.Array, as_whole: bool) -> CastColumn:
    if is_text(values.type):
        return _parse(values, pa.float64(), _parse_number)
    return CastColumn(values.cast(pa.float64(), safe=False), _none(values))


def _cast_text(values: pa.Array, most_bytes: int = MAX_TEXT) -> CastColumn:
    text = values.cast(pa.string())
    unusable = _mask(pc.greater(pc.binary_length(text), most_bytes)) | _mask(pc.match_substring(text, "\0"))
    return CastColumn(pc.if_else(pa.array(~unusable), text, None), unusable)


def _parse(values: pa.Array, type_: pa.DataType, parse: Callable[[str], int | float | None]) -> CastColumn:
    """Cast text at once where all of it can be cast, else each distinct text by `parse`."""
    try:
        return CastColumn(values.cast(type_), _none(values))
    except pa.ArrowInvalid:
        return _parse_distinct(values, type_, parse)


def _parse_distinct(
    values: pa.Array, type_: pa.DataType, parse: Callable[[str], int | float | None]
) -> CastColumn:
    distinct = pc.drop_null(pc.unique(values))
    parsed = pa.array([parse(text) for text in distinct.to_pylist()], type_)
    read = pc.take(parsed, pc.index_in(values, distinct))
    return CastColumn(read, _mask(pc.and_(pc.is_null(read), pc.is_valid(values))))


def _parse_whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _parse_moment(text: str) -> int | None:
    if _WHOLE.fullmatch(text):
        return int(text) * MICROSECONDS if abs(int(text)) <= MOST_SECONDS else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp()) * MICROSECONDS + moment.microsecond


def _parse_number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _without_nan(number: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(number), None, number)


def _none(values: pa.Array) -> np.ndarray:
    return np.zeros(len(values), dtype=bool)


def _mask(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)


_CASTS: dict[Kind, Callable[[pa.Array, bool], CastColumn]] = {
    "id": _cast_id,
    "time": _cast_time,
    "label": _cast_label,
    "category": _cast_category,
    "number": _cast_number,
    "raw": _cast_raw,
}
