"""Numbers: integers, floats, decimals, true and false, and text of these → float64 or int64."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags, is_text
from tsa_model.events.cast import MISSING_TEXTS, Cast, by_distinct, by_words, lost, nothing, stripped

EXACT_WHOLE = 2.0**53
"""Whole numbers below this are exact in float64."""
MOST_NUMBER = 1e30
"""Largest number in size: beyond it, scaled values overflow the network's float32."""

_COMMA_NUMBER = r"^\s*-?\d+,\d+\s*$"
_TRUTH = {"true": 1.0, "false": 0.0}


def cast_number(raw: pa.ChunkedArray | pa.Array, decimal: str = ".") -> Cast:
    """Cast to float64 of at most `MOST_NUMBER` in size; null stays null, and NaN becomes it."""
    read = read_number(raw, decimal)
    usable = pc.less_equal(pc.abs(read.values), MOST_NUMBER)
    if not read.bad.any() and pc.all(usable, min_count=0).as_py():
        return read
    bad = read.bad | (flags(pc.is_valid(read.values)) & ~flags(usable) & ~flags(pc.is_nan(read.values)))
    is_huge = flags(pc.is_finite(read.values)) & bad
    asked = f"a finite number of at most {MOST_NUMBER:g} in size" if is_huge.any() else read.asked
    return Cast(pc.if_else(usable, read.values, None), bad, asked, read.hint)


def read_number(raw: pa.ChunkedArray | pa.Array, decimal: str = ".") -> Cast:
    """Cast to float64 of any size, NaN and infinity too; true and false are 1 and 0.

    Args:
        raw: values of any type.
        decimal: what stands before the fraction where a number is text, "." or ",".
    """
    return by_words(raw, lambda values: _read_number(values, decimal))


def _read_number(raw: pa.Array, decimal: str) -> Cast:
    asked, hint = "a finite number", ""
    if is_text(raw.type):
        raw, number = _text_to_number(raw, decimal)
        bad = lost(raw, number)
        if decimal == "." and bad.any():
            looks = flags(pc.match_substring_regex(raw, _COMMA_NUMBER)) & bad
            hint = 'this looks like a decimal comma; set csv: {decimal: ","}' if looks.any() else ""
        return Cast(number, bad, asked, hint)
    if pa.types.is_null(raw.type):
        number = raw.cast(pa.float64())
    elif pa.types.is_decimal(raw.type):
        number = decimal_to_number(raw)
    elif is_number(raw.type):
        number = raw.cast(pa.float64(), safe=False)
    else:
        return nothing(raw, pa.float64(), asked)
    return Cast(number, np.zeros(len(raw), dtype=bool), asked)


def whole_numbers(raw: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Whole numbers as int64, and where a value is none; a fraction of zero does not count."""
    if not is_number(raw.type) or pa.types.is_boolean(raw.type):
        return pa.nulls(len(raw), pa.int64()), flags(pc.is_valid(raw))
    if pa.types.is_integer(raw.type) and raw.type != pa.uint64():
        return raw.cast(pa.int64()), np.zeros(len(raw), dtype=bool)
    if pa.types.is_floating(raw.type):
        number = raw.cast(pa.float64())
        usable = flags(pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), EXACT_WHOLE)))
        values = pc.if_else(pa.array(usable), number, None).cast(pa.int64())
        return values, flags(pc.is_valid(raw)) & ~usable & ~flags(pc.is_nan(number))
    try:
        return raw.cast(pa.int64()), np.zeros(len(raw), dtype=bool)
    except pa.ArrowInvalid:  # a fraction, or more than 64 bits: found out value by value
        values = by_distinct(raw, pa.int64(), _whole_value)
        return values, lost(raw, values)


def is_number(type_: pa.DataType) -> bool:
    """Whether a type holds numbers; true and false are some."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(kind(type_) for kind in kinds)


def _whole_value(value: object) -> int | None:
    whole = int(value)  # type: ignore[call-overload]
    return whole if whole == value and abs(whole) < 2**63 else None


def decimal_to_number(raw: pa.Array) -> pa.Array:
    """The nearest float64, as text of the same number gives it; Arrow's own cast is often off by a bit."""
    scale = raw.type.scale
    try:
        ten = pa.scalar(10**scale, pa.decimal256(37, 0))
        whole = pc.multiply(raw.cast(pa.decimal256(38, scale)), ten).cast(pa.int64())
    except (pa.ArrowException, OverflowError):
        return by_distinct(raw, pa.float64(), float)
    if 0 <= scale <= 22 and pc.all(pc.less(pc.abs(whole), 2**53), min_count=0).as_py():
        return pc.divide(whole.cast(pa.float64()), float(10**scale))  # both exact, so the quotient is nearest
    return by_distinct(raw, pa.float64(), float)


def _text_to_number(raw: pa.Array, decimal: str) -> tuple[pa.Array, pa.Array]:
    """The texts with missing ones as null, and their numbers; null also where a text is no number."""
    if decimal == ".":
        try:
            return raw, raw.cast(pa.float64())
        except pa.ArrowInvalid:
            pass
    raw = stripped(raw)
    raw = pc.if_else(pc.is_in(raw, pa.array(MISSING_TEXTS)), None, raw)
    text = raw
    if decimal == ",":
        has_point = pc.match_substring(raw, ".")
        text = pc.if_else(has_point, "no number", pc.replace_substring(raw, ",", ".", max_replacements=1))
    try:
        return raw, text.cast(pa.float64())
    except pa.ArrowInvalid:  # find out which text it is, one distinct text at a time
        return raw, by_distinct(text, pa.float64(), _parse_number)


def _parse_number(text: str) -> float | None:
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
