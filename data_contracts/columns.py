"""Every column of the raw events once, as the dataset description implies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tsa_model.dataset import DatasetDescription

Kind = Literal["id", "time", "label", "category", "number"]


@dataclass(frozen=True)
class Column:
    """One column of the event log."""

    name: str
    kind: Kind
    dtype: str
    """Type in the validated events."""
    unit: str
    nullable: bool
    meaning: str


def event_columns(dataset: DatasetDescription) -> tuple[Column, ...]:
    """Columns that the raw events must have, each once, in the order of the validated file.

    Args:
        dataset: the roles of the columns; derived ones are computed later and not listed.
    """
    id_dtype = "int64 or text"
    columns = [
        Column(dataset.order_id, "id", id_dtype, "", False, "the order"),
        Column(dataset.customer_id, "id", id_dtype, "", False, "key of the customer's history"),
    ]
    if dataset.card_id is not None:
        meaning = "key of the second history; missing = none"
        columns.append(Column(dataset.card_id, "id", id_dtype, "", True, meaning))
    columns += [
        Column(dataset.order_time, "time", "timestamp", "µs, UTC", False, "moment of the order"),
        Column(dataset.label, "label", "int8", "", True, "0 genuine, 1 fraud, missing or -1 not yet known"),
    ]
    for name in dataset.raw_categorical:
        columns.append(Column(name, "category", "text", "", True, "categorical feature"))
    for name in dataset.raw_numerical:
        role = "numerical feature" if name in dataset.numerical else "engineered feature"
        nullable = name in dataset.may_be_missing
        columns.append(Column(name, "number", "float64", "as given", nullable, role))
    return _each_once(columns)


def _each_once(columns: list[Column]) -> tuple[Column, ...]:
    """Refuse two kinds under one name: a file could satisfy only one of them."""
    kinds: dict[str, str] = {}
    for column in columns:
        if kinds.setdefault(column.name, column.kind) != column.kind:
            raise ValueError(
                f"column {column.name!r} is described as {kinds[column.name]} and as {column.kind}; "
                "give each column one kind of role"
            )
    return tuple({column.name: column for column in columns}.values())
