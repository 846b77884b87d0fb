"""One part of the raw events → columns of known types, each bad row with its reason.

A pure function from Arrow to Arrow, so that any engine can apply it part by part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags, one_array
from tsa_model.events.casting import (
    Cast,
    cast_category,
    cast_label,
    cast_moment,
    cast_number,
    cast_spelled_category,
)
from tsa_model.events.ids import IdForm, cast_id, id_columns
from tsa_model.events.known_labels import TOO_EARLY, delay_us, known_us, too_early
from tsa_model.events.problems import Problems
from tsa_model.settings.dataset import DatasetDescription


def wanted_columns(description: DatasetDescription) -> list[str]:
    """Names of the raw columns a description needs, each once."""
    keys = [description.order_id, description.customer_id, description.card_id]
    keys += [description.order_time, *description.label_columns]
    named = [column for column in keys if column is not None]
    return list(dict.fromkeys([*named, *description.raw_categorical, *description.raw_numerical]))


def clean(part: pa.Table, description: DatasetDescription, forms: Mapping[str, IdForm]) -> pa.Table:
    """Cast one part by the columns' roles.

    Args:
        part: the raw columns `wanted_columns` names, of any type.
        description: the roles.
        forms: how each column of ids is read; see `read_id_forms`.

    Returns:
        Columns `order_id`, `customer`, `card` (int64 or text), `time_us` (int64), `label` (int8), with a
        `label_time` also `known_us` (int64, from when on the label is known),
        `c0`, `c1`, … (text), `n0`, `n1`, … (float64) in the description's order, and `problem`, `value`
        (text): the reason why a row cannot be used and the raw value behind it, null in good rows.
    """
    d, decimal = description, description.csv.decimal
    raw = {name: one_array(part[name]) for name in part.column_names}
    columns: dict[str, pa.Array] = {}
    problems = Problems(part.num_rows)

    def add(name: str, column: str, cast: Cast, required: bool = False) -> None:
        columns[name] = cast.values
        problems.note(column, raw[column], cast.bad, cast.reason)
        if required:
            problems.note(column, raw[column], flags(pc.is_null(cast.values)), "missing")

    ids = {name: cast_id(raw[name], forms[name], d.missing_words) for name in id_columns(d)}
    add("order_id", d.order_id, ids[d.order_id], required=True)
    add("customer", d.customer_id, ids[d.customer_id], required=True)
    if d.card_id is not None:
        add("card", d.card_id, ids[d.card_id])
    add("time_us", d.order_time, cast_moment(raw[d.order_time]), required=True)
    add("label", d.label, cast_label(raw[d.label], decimal))
    if d.label_time is not None:
        told = cast_moment(raw[d.label_time])
        add("known_us", d.label_time, told)
        problems.note(d.label_time, raw[d.label_time], too_early(told.values, columns["time_us"]), TOO_EARLY)
        columns["known_us"] = known_us(told.values, columns["time_us"], delay_us(d))
    numbers = {name: cast_number(raw[name], decimal) for name in d.raw_numerical}
    for place, column in enumerate(d.raw_categorical):
        # A column of two roles has one meaning: the category is the id or the number in words.
        known = ids.get(column) or numbers.get(column)
        add(f"c{place}", column, as_category(raw[column] if known is None else known.values, column, d))
    optional = {*d.may_be_missing, *(d.stopping.columns() if d.stopping else ())}
    for place, column in enumerate(d.raw_numerical):
        add(f"n{place}", column, numbers[column], column not in optional)
    return pa.table(columns | problems.columns())


def as_category(values: pa.Array, column: str, description: DatasetDescription) -> Cast:
    """Cast a category in the spelling its description asks for."""
    if column in description.numeric_categorical + description.float_categorical:
        return cast_spelled_category(values, whole=column in description.numeric_categorical)
    return cast_category(values)


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
