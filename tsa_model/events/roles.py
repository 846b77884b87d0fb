"""The cast that a column's role asks for, and the types that can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import MAX_HISTORY, flags, is_text, value_type
from tsa_model.events.casting import Cast, cast_history, cast_moment, read_number
from tsa_model.events.cleaning import as_category
from tsa_model.events.ids import IdForm, cast_id
from tsa_model.events.numbers import MOST_NUMBER, is_number
from tsa_model.settings.dataset import DatasetDescription

Kind = Literal["id", "time", "label", "category", "number", "raw"]


def cast_role(
    raw: pa.ChunkedArray | pa.Array,
    kind: Kind,
    column: str,
    description: DatasetDescription,
    forms: Mapping[str, IdForm],
) -> Cast:
    """Cast a column as its role asks; labels and numbers of any size, for rules to judge.

    Args:
        raw: values as read.
        kind: the role.
        column: its name.
        description: how numbers, categories and missing ids are written.
        forms: how each column of ids is read; see `read_id_forms`.

    Returns:
        Ids as int64 or text, times as int64 microseconds since 1970 UTC, labels and numbers as float64,
        categories as text; raw values as they are.
    """
    if kind == "id":
        return cast_id(raw, forms[column], description.missing_words)
    if kind == "time":
        return cast_moment(raw)
    if kind == "category":
        return as_category(raw, column, description)
    if kind == "raw":
        return cast_history(raw, MAX_HISTORY)
    number = read_number(raw, description.csv.decimal)
    if kind == "label":
        return replace(number, values=pc.if_else(pc.is_nan(number.values), None, number.values))
    huge = flags(pc.and_(pc.is_finite(number.values), pc.greater(pc.abs(number.values), MOST_NUMBER)))
    if not huge.any():
        return number
    hint = f"it is larger than {MOST_NUMBER:g}, which the network cannot compute with"
    kept = pc.if_else(pa.array(huge), None, number.values)
    return replace(number, values=kept, bad=number.bad | huge, hint=hint)


def suits(type_: pa.DataType, kind: Kind) -> bool:
    """Whether a column of this type can hold this kind of value at all."""
    type_ = value_type(type_)
    if is_text(type_) or pa.types.is_null(type_):
        return True
    number, truth = is_number(type_), pa.types.is_boolean(type_)
    moment = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
    return {
        "id": number and not truth,
        "time": moment or (number and not truth),
        "label": number,
        "category": number or moment,
        "number": number,
        "raw": number or moment,
    }[kind]
