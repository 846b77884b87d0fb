"""From the types of a file to the types of a role, value by value, without guessing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.reading import is_text
from tsa_model.events.units import MICROSECONDS

MAX_TEXT = 256
"""Longest id or category, in bytes of UTF-8."""
MISSING_TEXTS = ("", "My Text String")
"""What legacy exports write for a missing value."""
EARLIEST_S = datetime(1900, 1, 1, tzinfo=UTC).timestamp()
LATEST_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
EXACT_WHOLE = 2.0**53

_SECONDS = re.compile(r"[+-]?\d{1,18}(\.\d*)?", re.ASCII)


@dataclass(frozen=True)
class Cast:
    """A column in its role's type, and where it could not be cast."""

    values: pa.Array
    bad: np.ndarray
    """[n] bool; `values` is null there."""
    asked: str
    """What a value should be, for messages."""


def cast_id(raw: pa.Array) -> Cast:
    """Cast to int64, or text of at most `MAX_TEXT` bytes; a missing text is null."""
    if is_text(raw.type):
        return _cast_text(raw, "an id")
    values, bad = _whole(raw)
    return Cast(values, bad, "a whole number")


def cast_moment(raw: pa.Array) -> Cast:
    """Cast to int64 microseconds since 1970-01-01 UTC: a timestamp, epoch seconds, or text of either."""
    asked = "a moment between 1900 and 2200 (a UTC timestamp or epoch seconds)"
    if pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
        microseconds = pc.cast(raw.cast(pa.timestamp("us"), safe=False), pa.int64())
    elif is_text(raw.type):
        microseconds = _text_to_microseconds(raw)
    elif pa.types.is_integer(raw.type):
        microseconds = _seconds_to_microseconds(raw)
    elif pa.types.is_floating(raw.type):
        seconds = raw.cast(pa.float64())
        usable = _flags(pc.and_(pc.greater(seconds, EARLIEST_S), pc.less(seconds, LATEST_S)))
        known = pc.if_else(pa.array(usable), seconds, None)
        microseconds = pc.round(pc.multiply(known, float(MICROSECONDS))).cast(pa.int64())
    else:
        return _nothing(raw, pa.int64(), asked)
    low, high = int(EARLIEST_S) * MICROSECONDS, int(LATEST_S) * MICROSECONDS
    in_range = _flags(pc.and_(pc.greater(microseconds, low), pc.less(microseconds, high)))
    values = pc.if_else(pa.array(in_range), microseconds, None)
    return Cast(values, _lost(raw, values), asked)


def cast_label(raw: pa.Array) -> Cast:
    """Cast to int8 of 0, 1 and -1, where -1 also stands for null."""
    number = cast_number(raw).values
    usable = _flags(pc.is_in(number, pa.array([-1.0, 0.0, 1.0])))
    bad = _flags(pc.is_valid(raw)) & ~usable & ~_is_missing_text(raw)
    known = pc.if_else(pa.array(usable), number, -1.0)
    return Cast(known.cast(pa.int8()), bad, "0, 1, -1 or missing")


def cast_number(raw: pa.Array) -> Cast:
    """Cast to finite float64; null stays null, and NaN becomes it."""
    if is_text(raw.type):
        raw, number = _text_to_number(raw)
    elif pa.types.is_null(raw.type):
        number = raw.cast(pa.float64())
    elif _is_number(raw.type):
        number = raw.cast(pa.float64(), safe=False)
    else:
        return _nothing(raw, pa.float64(), "a finite number")
    finite = pc.is_finite(number)
    if number.null_count == raw.null_count and pc.all(finite, min_count=0).as_py():
        return Cast(number, np.zeros(len(raw), dtype=bool), "a finite number")
    bad = _flags(pc.is_valid(raw)) & ~_flags(finite) & ~_flags(pc.is_nan(number))
    return Cast(pc.if_else(finite, number, None), bad, "a finite number")


def cast_category(raw: pa.Array) -> Cast:
    """Cast to text of at most `MAX_TEXT` bytes: 3 and 3.0 become "3", true and false keep their names."""
    if pa.types.is_floating(raw.type):
        number = raw.cast(pa.float64())
        return _cast_text(_by_distinct(number, pa.string(), _number_text), "a category")
    try:
        return _cast_text(raw.cast(pa.string()), "a category")
    except pa.ArrowException:
        return _nothing(raw, pa.string(), "a category")


def cast_spelled_category(raw: pa.Array, whole: bool) -> Cast:
    """As `cast_category`, for categories that are numbers; see `number_spelling`."""
    text = cast_category(raw)

    def respell(value: str) -> str | None:
        try:
            return number_spelling(value, whole)
        except ValueError:
            return None

    values = _by_distinct(text.values, pa.string(), respell)
    return Cast(values, text.bad | _lost(text.values, values), "a number")


def number_spelling(text: str, whole: bool) -> str:
    """Return a number's one spelling: "3.0" is "3"; "1.5" is "1" where only the `whole` part counts.

    Raises:
        ValueError: the text is no number.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return str(int(number)) if whole or number.is_integer() else str(number)


def is_plain_whole(values: pa.Array) -> bool:
    """Whether every text is a whole number in its one usual spelling ("7", neither "007" nor "+7")."""
    return bool(pc.all(pc.match_substring_regex(values, r"^(0|-?[1-9][0-9]{0,17})$"), min_count=0).as_py())


def as_text(raw: pa.Array) -> pa.Array:
    """The raw values as they are shown in messages."""
    try:
        return raw.cast(pa.string())
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in raw.to_pylist()], pa.string())


def _cast_text(raw: pa.Array, what: str) -> Cast:
    text = raw.cast(pa.string())
    bad = _flags(pc.greater(pc.binary_length(text), MAX_TEXT))
    bad |= _flags(pc.match_substring(text, "\x00"))
    usable = ~bad & ~_is_missing_text(text)
    asked = f"{what} of at most {MAX_TEXT} bytes, none of them zero"
    return Cast(pc.if_else(pa.array(usable), text, None), bad, asked)


def _whole(raw: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Whole numbers as int64, and where a value is none."""
    if not _is_number(raw.type):
        return pa.nulls(len(raw), pa.int64()), _flags(pc.is_valid(raw))
    if pa.types.is_integer(raw.type) and raw.type != pa.uint64():
        return raw.cast(pa.int64()), np.zeros(len(raw), dtype=bool)
    number = raw.cast(pa.float64(), safe=False)
    usable = _flags(pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), EXACT_WHOLE)))
    values = pc.if_else(pa.array(usable), number, None).cast(pa.int64())
    return values, _flags(pc.is_valid(raw)) & ~usable & ~_flags(pc.is_nan(number))


def _seconds_to_microseconds(seconds: pa.Array) -> pa.Array:
    in_range = _flags(pc.and_(pc.greater(seconds, EARLIEST_S), pc.less(seconds, LATEST_S)))
    return pc.multiply(pc.if_else(pa.array(in_range), seconds, None).cast(pa.int64()), MICROSECONDS)


def _text_to_microseconds(raw: pa.Array) -> pa.Array:
    try:  # epoch seconds all the way
        return _seconds_to_microseconds(raw.cast(pa.int64()))
    except pa.ArrowInvalid:
        return _by_distinct(raw, pa.int64(), _parse_moment)


def _text_to_number(raw: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The texts with missing ones as null, and their numbers; null also where a text is no number."""
    try:
        return raw, raw.cast(pa.float64())
    except pa.ArrowInvalid:
        raw = pc.if_else(pc.is_in(raw, pa.array(MISSING_TEXTS, raw.type)), None, raw)
    try:
        return raw, raw.cast(pa.float64())
    except pa.ArrowInvalid:  # find out which text it is, one distinct text at a time
        return raw, _by_distinct(raw, pa.float64(), _parse_number)


def _by_distinct(raw: pa.Array, type_: pa.DataType, parse: Callable) -> pa.Array:
    """Apply `parse` to each distinct value; None where it returns None."""
    encoded = raw.dictionary_encode()
    parsed = pa.array([None if v is None else parse(v) for v in encoded.dictionary.to_pylist()], type_)
    return pc.take(parsed, encoded.indices)


def _parse_number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text and text.strip() == text else None
    except ValueError:
        return None


def _parse_moment(text: str) -> int | None:
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return round(seconds * MICROSECONDS) if abs(seconds) < LATEST_S else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp()) * MICROSECONDS + moment.microsecond


def _number_text(number: float) -> str | None:
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_WHOLE else repr(number)


def _is_missing_text(raw: pa.Array) -> np.ndarray:
    if not is_text(raw.type):
        return np.zeros(len(raw), dtype=bool)
    return _flags(pc.is_in(raw, pa.array(MISSING_TEXTS, raw.type)))


def _is_number(type_: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(kind(type_) for kind in kinds)


def _nothing(raw: pa.Array, type_: pa.DataType, asked: str) -> Cast:
    """A column of a type that holds no such value at all."""
    return Cast(pa.nulls(len(raw), type_), _flags(pc.is_valid(raw)), asked)


def _lost(raw: pa.Array, values: pa.Array) -> np.ndarray:
    return _flags(pc.and_(pc.is_valid(raw), pc.is_null(values)))


def _flags(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
