"""Every column of the raw events once, as the dataset description implies it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tsa_model.events.arrays import MAX_HISTORY, MAX_TEXT
from tsa_model.events.roles import Kind
from tsa_model.events.wide.histories import WideLayout
from tsa_model.settings.dataset import DatasetDescription

FOR_CHAMPION = "read by the champion only"
"""Meaning of a column that the run description does not name."""


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

    @property
    def sentence(self) -> str:
        """What is asked of every value before any rule looks at it."""
        asked = {
            "id": f"a whole number or a text of at most {MAX_TEXT} bytes, none of them zero",
            "time": "a moment: a date, a timestamp or epoch seconds between 2000 and 2100, or text of these",
            "label": "a number",
            "category": f"a number or a text of at most {MAX_TEXT} bytes, none of them zero",
            "number": "a number",
            "raw": f"a text of at most {MAX_HISTORY} bytes, none of them zero",
        }
        return f"every {self.name} is {asked[self.kind]}"


def event_columns(
    dataset: DatasetDescription, champion: DatasetDescription | None = None
) -> tuple[Column, ...]:
    """Columns that the raw events must have, each once, in the order of the validated file.

    Args:
        dataset: the roles of the columns; derived ones are computed later and not listed.
        champion: the roles in the orders that the champion reads; columns that only it needs come last, so
            that it can be compared on the validated orders. None = there is no champion.

    Raises:
        ValueError: a column has two kinds of role.
    """
    columns = _columns(dataset)
    kept = {column.name: column for column in columns}
    for column in _columns(champion) if champion is not None else ():
        present = kept.setdefault(column.name, replace(column, meaning=FOR_CHAMPION))
        if present.kind != column.kind and {present.kind, column.kind} & {"time", "label"}:
            raise ValueError(
                f"column {column.name!r} is described as {present.kind}, the champion reads it as"
                f" {column.kind}: the two cannot be compared on the same orders"
            )
    return tuple(kept.values())


def _columns(dataset: DatasetDescription) -> tuple[Column, ...]:
    if dataset.layout == "wide":
        return _wide_columns(dataset)
    columns = [
        _order_id(dataset),
        Column(dataset.customer_id, "id", "int64 or text", "", False, "key of the customer's history"),
    ]
    if dataset.card_id is not None:
        meaning = "key of the second history; missing = none"
        columns.append(Column(dataset.card_id, "id", "int64 or text", "", True, meaning))
    columns += [
        Column(dataset.order_time, "time", "timestamp", "µs, UTC", False, "moment of the order"),
        _label(dataset),
    ]
    if dataset.label_time is not None:
        meaning = f"moment since when the label is known; missing = {dataset.label_delay_days:g} days later"
        columns.append(Column(dataset.label_time, "time", "timestamp", "µs, UTC", True, meaning))
    for name in dataset.raw_numerical:
        role = "numerical feature" if name in dataset.numerical else "engineered feature"
        of_policy = dataset.stopping is not None and name in dataset.stopping.columns()
        role = "policy that stops orders" if of_policy else role
        nullable = of_policy or name in dataset.may_be_missing
        columns.append(Column(name, "number", "float64", "as given", nullable, role))
    for name in dataset.raw_categorical:
        columns.append(Column(name, "category", "text", "", True, "categorical feature"))
    named = {column.name for column in columns}
    for one in dataset.slices.columns:
        if one.column not in named:
            kind: Kind = "number" if one.is_number else "category"
            dtype = "float64" if one.is_number else "text"
            columns.append(Column(one.column, kind, dtype, "", True, "slice of the reports"))
    return _each_once(columns)


def _wide_columns(dataset: DatasetDescription) -> tuple[Column, ...]:
    """Wide rows pass their features on as they are: the histories are only understood when they are cut."""
    layout = WideLayout.of(dataset)
    suffixes = [key for key in (dataset.customer_id, dataset.card_id) if key is not None]
    columns = [
        _order_id(dataset),
        Column(dataset.order_time, "time", "timestamp", "µs, UTC", False, "moment of the order"),
        _label(dataset),
    ]
    own = (*dataset.categorical, *dataset.numerical, *dataset.engineered)
    for name in (*layout.columns(suffixes), *dataset.engineered):
        if name not in (dataset.order_id, dataset.order_time):
            meaning = "the order's own value" if name in own else "history, oldest first, cut by ~"
            columns.append(Column(name, "raw", "as given", "", True, meaning))
    return _each_once(columns)


def _order_id(dataset: DatasetDescription) -> Column:
    return Column(dataset.order_id, "id", "int64 or text", "", False, "the order")


def _label(dataset: DatasetDescription) -> Column:
    meaning = "0 genuine, 1 fraud, missing or -1 not yet known"
    return Column(dataset.label, "label", "int8", "", True, meaning)


def _each_once(columns: list[Column]) -> tuple[Column, ...]:
    """Keep the first role of a column: a key or a number can serve as a category too, but not the reverse."""
    kept: dict[str, Column] = {}
    for column in columns:
        earlier = kept.setdefault(column.name, column)
        if earlier.kind != column.kind and (column.kind != "category" or earlier.kind in ("time", "label")):
            raise ValueError(
                f"column {column.name!r} is described as {earlier.kind} and as {column.kind}; "
                "give each column one kind of role"
            )
    return tuple(kept.values())
