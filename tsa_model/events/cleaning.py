"""One part of the raw events → columns of known types, each bad row with its reason.

A pure function from Arrow to Arrow, so that any engine can apply it part by part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.casting import (
    Cast,
    cast_category,
    cast_id,
    cast_label,
    cast_moment,
    cast_number,
    cast_spelled_category,
)
from tsa_model.events.problems import Problems
from tsa_model.events.reading import BadEvents, one_array
from tsa_model.settings.dataset import DatasetDescription


def wanted_columns(description: DatasetDescription) -> list[str]:
    """Names of the raw columns a description needs, each once."""
    keys = [description.order_id, description.customer_id, description.card_id]
    keys += [description.order_time, description.label]
    named = [column for column in keys if column is not None]
    return list(dict.fromkeys([*named, *description.raw_categorical, *description.raw_numerical]))


def clean(part: pa.Table, description: DatasetDescription) -> pa.Table:
    """Cast one part by the columns' roles.

    Args:
        part: the raw columns `wanted_columns` names, of any type.
        description: the roles.

    Returns:
        Columns `order_id`, `customer`, `card` (int64 or text), `time_us` (int64), `label` (int8),
        `c0`, `c1`, … (text), `n0`, `n1`, … (float64) in the description's order, and `problem`, `value`
        (text): the reason why a row cannot be used and the raw value behind it, null in good rows.
    """
    raw = {name: _plain(one_array(part[name])) for name in part.column_names}
    columns: dict[str, pa.Array] = {}
    problems = Problems(part.num_rows)

    def add(name: str, column: str, cast: Cast, required: bool = False) -> None:
        columns[name] = cast.values
        problems.note(column, raw[column], cast.bad, f"not {cast.asked}")
        if required:
            problems.note(column, raw[column], _flags(pc.is_null(cast.values)), "missing")

    add("order_id", description.order_id, cast_id(raw[description.order_id]), required=True)
    add("customer", description.customer_id, cast_id(raw[description.customer_id]), required=True)
    if description.card_id is not None:
        add("card", description.card_id, cast_id(raw[description.card_id]))
    add("time_us", description.order_time, cast_moment(raw[description.order_time]), required=True)
    add("label", description.label, cast_label(raw[description.label]))
    for place, column in enumerate(description.raw_categorical):
        if column in description.numeric_categorical + description.float_categorical:
            cast = cast_spelled_category(raw[column], whole=column in description.numeric_categorical)
        else:
            cast = cast_category(raw[column])
        add(f"c{place}", column, cast)
    for place, column in enumerate(description.raw_numerical):
        add(f"n{place}", column, cast_number(raw[column]), column not in description.may_be_missing)
    return pa.table(columns | problems.columns())


@dataclass(frozen=True)
class Aside:
    """Rows that cannot be used."""

    order_ids: pa.Array
    """Their raw order ids."""
    reasons: pa.Array
    values: pa.Array
    rows: pa.Table
    """As they came."""


def split_bad(
    part: pa.Table, cleaned: pa.Table, description: DatasetDescription
) -> tuple[pa.Table, Aside | None]:
    """Divide a cleaned part into usable rows, without `problem` and `value`, and the others."""
    is_bad = pc.is_valid(cleaned["problem"])
    usable = cleaned.drop_columns(["problem", "value"])
    if not pc.any(is_bad, min_count=0).as_py():
        return usable, None
    wrong = cleaned.filter(is_bad)
    rows = part.filter(is_bad)
    order_ids = one_array(rows[description.order_id])
    aside = Aside(order_ids, one_array(wrong["problem"]), one_array(wrong["value"]), rows)
    return usable.filter(pc.invert(is_bad)), aside


def check_same_types(
    origin: str, schema: pa.Schema, first: pa.Schema, description: DatasetDescription
) -> None:
    """Refuse a part whose ids have another type than those of the first part."""
    columns = {"order_id": description.order_id, "customer": description.customer_id}
    columns |= {"card": description.card_id} if description.card_id is not None else {}
    for name, column in columns.items():
        if schema.field(name).type != first.field(name).type:
            raise BadEvents(
                f"{origin}: column {column!r} is {schema.field(name).type} here "
                f"and {first.field(name).type} in the first rows; give it one type"
            )


def _plain(values: pa.Array) -> pa.Array:
    """Decode a dictionary; over-long texts are cut short, for they will be refused and could fill memory."""
    if not pa.types.is_dictionary(values.type):
        return values
    words = values.dictionary
    if pa.types.is_string(words.type) or pa.types.is_large_string(words.type):
        words = pc.utf8_slice_codeunits(words, 0, 1000)
    return pc.take(words, values.indices)


def _flags(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(bool)
