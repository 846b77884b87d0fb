"""From the types of a file to the types of a role, value by value, without guessing.

This room is the only place that says what a value means; docs/SEQUENCES.md has it as a table.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags, is_text
from tsa_model.events.cast import MISSING_TEXTS, Cast, by_distinct, by_words, cast_text, lost, nothing
from tsa_model.events.moments import cast_moment
from tsa_model.events.numbers import EXACT_WHOLE, cast_number, decimal_to_number, read_number

__all__ = [
    "MISSING_TEXTS",
    "Cast",
    "cast_category",
    "cast_history",
    "cast_label",
    "cast_moment",
    "cast_number",
    "cast_spelled_category",
    "number_spelling",
    "read_number",
]


def cast_label(raw: pa.Array, decimal: str = ".") -> Cast:
    """Cast to int8 of 0, 1 and -1, where -1 also stands for null; true and false are 1 and 0."""
    read = read_number(raw, decimal)
    usable = flags(pc.is_in(read.values, pa.array([-1.0, 0.0, 1.0])))
    bad = (flags(pc.is_valid(read.values)) & ~usable & ~flags(pc.is_nan(read.values))) | read.bad
    known = pc.if_else(pa.array(usable), read.values, -1.0)
    return Cast(known.cast(pa.int8()), bad, "0, 1, -1 or missing")


def cast_category(raw: pa.ChunkedArray | pa.Array) -> Cast:
    """Cast to text of at most `MAX_TEXT` bytes: 3 and 3.0 become "3", true and false keep their names.

    Only the empty text is missing.
    """
    return by_words(raw, _cast_category)


def _cast_category(raw: pa.Array) -> Cast:
    if pa.types.is_floating(raw.type):
        number = raw.cast(pa.float64())
        return cast_text(by_distinct(number, pa.string(), _number_text), "a category")
    if pa.types.is_decimal(raw.type):
        return _cast_category(decimal_to_number(raw))
    try:
        return cast_text(raw.cast(pa.string()), "a category")
    except pa.ArrowException:
        return nothing(raw, pa.string(), "a category")


def cast_spelled_category(raw: pa.Array, whole: bool) -> Cast:
    """As `cast_category`, for categories that are numbers; see `number_spelling`."""
    text = cast_category(raw)

    def respell(value: str) -> str | None:
        try:
            return number_spelling(value, whole)
        except ValueError:
            return None

    values = by_distinct(text.values, pa.string(), respell)
    return Cast(values, text.bad | lost(text.values, values), "a number")


def cast_history(raw: pa.Array, most_bytes: int) -> Cast:
    """Leave a wide row's value as it is, unless it is too long a text or holds a zero byte."""

    def cast(values: pa.Array) -> Cast:
        if not is_text(values.type):
            return Cast(values, np.zeros(len(values), dtype=bool), "a history")
        return cast_text(values, "a history", most_bytes, ())

    return by_words(raw, cast)


def number_spelling(text: str, whole: bool) -> str:
    """Return a number's one spelling: "3.0" is "3"; "1.5" is "1" where only the `whole` part counts.

    Raises:
        ValueError: the text is no number.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return str(int(number)) if whole or number.is_integer() else str(number)


def _number_text(number: float) -> str | None:
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_WHOLE else repr(number)
