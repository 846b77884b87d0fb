"""Ids: one customer is one id, however a file writes it, or the file is refused with both spellings.

A column of ids is read as whole numbers where every one of them is such a number in any file, and as text
otherwise, so that the same orders give the same ids from typed files and from CSV. What a column is must be
known before its first row is cast: `read_id_forms` looks through the text columns once.

    123   123.0   1.23E+02   " 123"     one number
    00123                               text: the zeros belong to it; a refusal where 123 stands somewhere too
    1.23457E+11                         refused: a spreadsheet has dropped digits
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import SHOWN_CHARACTERS, flags, is_text, one_array, value_type
from tsa_model.events.cast import (
    MISSING_TEXTS,
    Cast,
    by_distinct,
    by_words,
    cast_text,
    lost,
    nothing,
    stripped,
)
from tsa_model.events.codes import fold
from tsa_model.events.errors import BadEvents
from tsa_model.events.numbers import is_number, whole_numbers
from tsa_model.events.reading import open_events
from tsa_model.settings.dataset import DatasetDescription

PLAIN = r"^(0|-?[1-9][0-9]{0,17})$"
"""A whole number in its one usual spelling."""
_NUMBER_LIKE = r"^[+-]?[0-9]+(\.0*)?$|^[+-]?[0-9](\.[0-9]+[eE]\+?|[eE]\+)[0-9]{1,3}$"
_EXPONENT = re.compile(r"([+-]?)(\d)(?:\.(\d+))?[eE]\+?(\d{1,3})")
_DECIMAL = re.compile(r"([+-]?)(\d+)(?:\.0*)?")


@dataclass(frozen=True)
class IdForm:
    """How a column of ids is read."""

    is_whole: bool = True
    """As int64; otherwise as text."""
    has_exponents: bool = False
    """Some are written as 1.23E+05."""
    example: str = ""
    """An id that is written otherwise, for messages."""
    spellings: tuple[str, ...] = ()
    """An example of each way in which whole numbers are written; one way = none."""
    is_folded: bool = False
    """Texts that differ only in spelling are one id; see `fold_keys` of the dataset description."""


def cast_id(raw: pa.ChunkedArray | pa.Array, form: IdForm, missing_words: Sequence[str] = ()) -> Cast:
    """Cast ids to the form of their column; a missing id is null.

    Args:
        raw: values of any type.
        form: what the whole column is.
        missing_words: words that stand for no id, in any case.
    """
    return by_words(raw, lambda values: _cast_id(values, form, missing_words))


def _cast_id(raw: pa.Array, form: IdForm, missing_words: Sequence[str]) -> Cast:
    if not is_text(raw.type):
        if not is_number(raw.type) and not pa.types.is_null(raw.type):
            return nothing(raw, pa.int64() if form.is_whole else pa.string(), "an id")
        values, bad = whole_numbers(raw.cast(pa.int64()) if pa.types.is_null(raw.type) else raw)
        return Cast(values if form.is_whole else values.cast(pa.string()), bad, "a whole number")
    raw = stripped(raw)
    words = flags(is_missing_word(raw, missing_words))
    raw = pc.if_else(pa.array(words), None, raw) if words.any() else raw
    text = cast_text(raw, "an id")
    values, asked = text.values, text.asked
    if form.is_whole:
        asked = "a whole number"
        values = (
            values.cast(pa.int64())
            if is_plain_whole(values)
            else by_distinct(values, pa.int64(), _whole_number)
        )
    elif form.has_exponents:
        values = by_distinct(values, pa.string(), lambda id_: None if _is_shortened(id_) else id_)
    if form.is_folded and not form.is_whole:
        values = by_distinct(values, pa.string(), fold)
    bad = text.bad | lost(text.values, values)
    hint = ""
    if form.has_exponents and bad.any():
        others = f"; others are written {form.example!r}" if form.example else ""
        hint = f"a spreadsheet shortened ids of this column and dropped digits{others}"
    return Cast(values, bad, asked, hint, words)


def is_plain_whole(values: pa.Array) -> bool:
    """Whether every text is a whole number in its one usual spelling ("7", neither "007" nor "+7")."""
    return bool(pc.all(pc.match_substring_regex(values, PLAIN), min_count=0).as_py())


def read_id_forms(
    events: Any, description: DatasetDescription, columns: Sequence[str] | None = None
) -> dict[str, IdForm]:
    """Look through the id columns of raw events and decide how each is read.

    Args:
        events: see `open_events`; or its sources.
        description: names the columns, the missing words and the form of CSV files.
        columns: other columns of ids than the description's own.

    Returns:
        Column → its form.

    Raises:
        BadEvents: one id is written in two ways that cannot be told to be one; or a column is missing.
    """
    names = list(columns or id_columns(description))
    sources = open_events(events, description.csv, names).sources
    schemas = [source.schema for source in sources]
    text = [
        name
        for name in names
        if any(is_text(value_type(one.field(name).type)) for one in schemas if name in one.names)
    ]
    forms = {name: IdForm(is_folded=name in description.fold_keys) for name in names}
    if not text:
        return forms

    def parts(columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        for source in sources:
            yield from ((str(source), part) for part in source.parts(columns))

    seen = {name: _Spellings(name, description.missing_words) for name in text}
    for origin, part in parts(text):
        for name in text:
            seen[name].note(origin, part[name])
    doubtful = [name for name in text if seen[name].may_collide]
    if doubtful:
        for origin, part in parts(doubtful):
            for name in doubtful:
                seen[name].compare(origin, part[name])
    return forms | {name: replace(seen[name].form, is_folded=forms[name].is_folded) for name in text}


def id_columns(description: DatasetDescription) -> list[str]:
    """Columns that hold ids; those of wide histories are matched elsewhere."""
    if description.layout == "wide":
        return [description.order_id]
    keys = (description.order_id, description.customer_id, description.card_id)
    return [name for name in keys if name is not None]


def number_of(text: str) -> str:
    """The number that a text may stand for, in its usual spelling; other texts as they are."""
    text = text.strip()
    if found := _DECIMAL.fullmatch(text):
        digits = found[2].lstrip("0") or "0"
        return digits if found[1] != "-" or digits == "0" else f"-{digits}"
    whole = _exact_exponent(text)
    return text if whole is None else whole


def numbers_of(texts: pa.Array) -> pa.Array:
    """`number_of` of every text."""
    if is_plain_whole(texts):
        return texts
    text = stripped(texts)
    is_number_like = flags(pc.match_substring_regex(text, _NUMBER_LIKE))
    if not is_number_like.any():
        return text
    kept = by_distinct(pc.if_else(pa.array(is_number_like), text, None), pa.string(), number_of)
    return pc.coalesce(kept, text)


@dataclass
class _Spellings:
    """What was seen of one text column of ids."""

    column: str
    missing_words: Sequence[str]
    kinds: set[str] = field(default_factory=set)
    """plain, zeros (or a sign: spelled unusually), fraction, exponent, other."""
    lengths: set[int] = field(default_factory=set)
    example: str = ""
    _shown: dict[str, str] = field(default_factory=dict)
    """Kind → an example."""
    _first: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Number → its first spelling, and where."""

    @property
    def form(self) -> IdForm:
        is_whole = not self.kinds - {"plain", "fraction", "exponent"}
        shown = tuple(self._shown.values()) if is_whole and len(self._shown) > 1 else ()
        return IdForm(is_whole, "exponent" in self.kinds, self.example, shown)

    @property
    def may_collide(self) -> bool:
        """Whether two texts of the column may be one number, though it is read as text."""
        numeric = self.kinds - {"other"}
        if self.form.is_whole or not numeric:
            return False
        return not numeric <= {"plain", "zeros"} or ("zeros" in numeric and len(self.lengths) > 1)

    def note(self, origin: str, column: pa.ChunkedArray) -> None:
        """Look at one part."""
        values = self._texts(column)
        is_plain = flags(pc.match_substring_regex(values, PLAIN))
        if is_plain.any():
            self._add("plain", values.filter(pa.array(is_plain)))
        if is_plain.all():
            return
        others = values.filter(pa.array(~is_plain))
        is_like = flags(pc.match_substring_regex(others, _NUMBER_LIKE))
        if not is_like.all():
            self.kinds.add("other")
            self.example = self.example or others.filter(pa.array(~is_like))[0].as_py()[:SHOWN_CHARACTERS]
        like = others.filter(pa.array(is_like))
        has_exponent = flags(pc.match_substring_regex(like, "[eE]"))
        has_fraction = flags(pc.match_substring(like, ".")) & ~has_exponent
        is_usual = flags(pc.match_substring_regex(like, r"^(0|-?[1-9][0-9]{0,17})(\.0*)?$"))
        for kind, chosen in (
            ("exponent", has_exponent),
            ("fraction", has_fraction & is_usual),
            ("zeros", ~has_exponent & ~is_usual),
        ):
            if chosen.any():
                self._add(kind, like.filter(pa.array(chosen)))

    def _add(self, kind: str, values: pa.Array) -> None:
        self.kinds.add(kind)
        self._shown.setdefault(kind, values[0].as_py()[:SHOWN_CHARACTERS])
        if kind in ("plain", "zeros"):
            length = pc.min_max(pc.utf8_length(values)).as_py()
            self.lengths |= set(length.values())
            self.example = self.example or values[0].as_py()

    def compare(self, origin: str, column: pa.ChunkedArray) -> None:
        """Refuse a number that another spelling stood for before.

        Raises:
            BadEvents: there is one.
        """
        values = self._texts(column)
        values = values.filter(pc.match_substring_regex(values, _NUMBER_LIKE))
        for text, number in zip(values.to_pylist(), numbers_of(values).to_pylist(), strict=True):
            first, where = self._first.setdefault(number, (text, origin))
            if first != text:
                raise BadEvents(
                    f"column {self.column}: {first!r} ({where}) and {text!r} ({origin}) seem to be one id in "
                    "two spellings, which would become two histories; write every id in one way"
                )

    def _texts(self, column: pa.ChunkedArray) -> pa.Array:
        """The distinct ids."""
        values = one_array(column)
        values = values.dictionary if pa.types.is_dictionary(values.type) else pc.unique(values)
        if is_number(values.type):  # in another file the column is text
            values = whole_numbers(values)[0]
        values = stripped(pc.drop_null(values.cast(pa.string())))
        return values.filter(pc.invert(is_missing_word(values, (*self.missing_words, *MISSING_TEXTS))))


def is_missing_word(texts: pa.Array, words: Collection[str]) -> pa.Array:
    """Whether each text, without the spaces around it, is one of some words in any case."""
    if not words:
        return pa.array(np.zeros(len(texts), dtype=bool))
    lower = pa.array(sorted({word.strip().lower() for word in words}), pa.string())
    return pc.is_in(pc.utf8_lower(stripped(texts)), lower)


def _whole_number(text: str) -> int | None:
    number = number_of(text)
    return int(number) if re.fullmatch(PLAIN.strip("^$"), number) else None


def _is_shortened(text: str) -> bool:
    return bool(re.search(_NUMBER_LIKE, text) and _EXPONENT.fullmatch(text)) and _exact_exponent(text) is None


def _exact_exponent(text: str) -> str | None:
    """The whole number of 1.23E+02, if no digit of it is missing."""
    found = _EXPONENT.fullmatch(text)
    if found is None:
        return None
    fraction, exponent = found[3] or "", int(found[4])
    if len(fraction) < exponent or fraction[exponent:].strip("0"):
        return None
    digits = (found[2] + fraction[:exponent]).lstrip("0") or "0"
    return digits if found[1] != "-" or digits == "0" else f"-{digits}"
