"""What a cast column is, and what all casts need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import MAX_TEXT, flags, is_text, one_array

MISSING_TEXTS = ("", "My Text String")
"""What legacy exports write for a missing value."""


@dataclass(frozen=True)
class Cast:
    """A column in its role's type, and where it could not be cast."""

    values: pa.Array
    bad: np.ndarray
    """[n] bool; `values` is null there."""
    asked: str
    """What a value should be, for messages."""
    hint: str = ""
    """What the values look like instead, and what to set."""
    words: np.ndarray | None = None
    """[n] bool, where an id's column holds a word for a missing id; None = nowhere."""

    @property
    def reason(self) -> str:
        """Why a value is refused."""
        return f"not {self.asked}" + (f" ({self.hint})" if self.hint else "")


def cast_text(
    text: pa.Array, what: str, most_bytes: int = MAX_TEXT, missing: tuple[str, ...] = MISSING_TEXTS
) -> Cast:
    """Check texts; those of `missing` become null."""
    bad = flags(pc.greater(pc.binary_length(text), most_bytes))
    bad |= flags(pc.match_substring(text, "\x00"))
    usable = ~bad & ~flags(pc.is_in(text, pa.array(missing, pa.string())))
    asked = f"{what} of at most {most_bytes} bytes, none of them zero"
    return Cast(pc.if_else(pa.array(usable), text, None), bad, asked)


def by_words(raw: pa.ChunkedArray | pa.Array, cast: Callable[[pa.Array], Cast]) -> Cast:
    """Cast a column; one with a dictionary by casting its words, so that a long one is never repeated.

    Args:
        raw: values as read.
        cast: casts values that are no dictionary.
    """
    values = one_array(raw)
    if not pa.types.is_dictionary(values.type):
        return cast(values)
    words = cast(values.dictionary)
    place = pc.fill_null(values.indices, len(values.dictionary)).to_numpy()

    def spread(found: np.ndarray) -> np.ndarray:
        return np.append(found, False)[place] if found.any() else np.zeros(len(values), dtype=bool)

    return replace(
        words,
        values=pc.take(words.values, values.indices),
        bad=spread(words.bad),
        words=None if words.words is None else spread(words.words),
    )


def by_distinct(raw: pa.Array, type_: pa.DataType, parse: Callable) -> pa.Array:
    """Apply `parse` to each distinct value; None where it returns None."""
    encoded = raw.dictionary_encode()
    parsed = pa.array([None if v is None else parse(v) for v in encoded.dictionary.to_pylist()], type_)
    return pc.take(parsed, encoded.indices)


def stripped(text: pa.Array) -> pa.Array:
    """Texts without the spaces around them."""
    return pc.utf8_trim_whitespace(text)


def is_missing_text(raw: pa.Array) -> np.ndarray:
    """Where a text stands for a missing value, [n] bool."""
    if not is_text(raw.type):
        return np.zeros(len(raw), dtype=bool)
    return flags(pc.is_in(raw, pa.array(MISSING_TEXTS)))


def nothing(raw: pa.Array, type_: pa.DataType, asked: str) -> Cast:
    """A column of a type that holds no such value at all."""
    return Cast(pa.nulls(len(raw), type_), flags(pc.is_valid(raw)), asked)


def lost(raw: pa.Array, values: pa.Array) -> np.ndarray:
    """Where a value could not be cast, [n] bool."""
    return flags(pc.and_(pc.is_valid(raw), pc.is_null(values)))
