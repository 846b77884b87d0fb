"""Single values of raw orders: held together by what they are to become, then cast.

Values of usual forms are cast one by one, the others of one role and one JSON type together; what a value
means is decided by `tsa_model.events` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.arrays import SHOWN_CHARACTERS
from tsa_model.events.cast import Cast
from tsa_model.events.numbers import EXACT_WHOLE

Caster = Callable[[pa.Array], Cast]
Plain = Callable[[Any], Any]
"""Casts one value of a usual form; None = the caster decides."""
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_NOT_THERE = object()
_Seen = dict[tuple[type, Any], Any] | None
FEW_VALUES = ("category", "label")
"""Roles whose values come again and again, so that what they were cast to is remembered."""
MOST_SEEN = 2**16
REMEDIES = {
    "id": "send the order's own id, in the form that all ids of the column have",
    "time": "send ISO 8601 text such as 2025-04-11T09:30:00Z, or seconds since 1970 as a number",
    "label time": "send the moment at which the label became known, or null",
    "label": "send 0, 1, or null while it is not known",
    "known label": "send 0 or 1",
    "number": "send a JSON number",
    "category": "send a text of at most 256 bytes, or null",
}


class WrongOrder(ValueError):
    """An order breaks the contract of its data set."""

    def __init__(self, row: int, column: str, value: Any, problem: str, remedy: str) -> None:
        self.row, self.column, self.problem, self.remedy = row, column, problem, remedy
        self.value = None if value is None else _shown(value)
        what = "" if value is None else f" {self.value}"
        super().__init__(f"order {row} of the request, column {column}:{what} is {problem}; {remedy}")


@dataclass(frozen=True)
class Field:
    """A column of a request, and how its values are cast."""

    kind: str
    """What it is, for messages; see `REMEDIES`."""
    column: str
    group: Any
    """Equal where values are cast alike."""
    caster: Caster
    plain: Plain | None = None
    """Casts values of usual forms."""
    optional: bool = False
    """A request may leave the column out."""


class Cells:
    """Casts the values of some columns; may be used by several threads at once.

    Args:
        fields: the columns.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.kinds = {field.column: field.kind for field in fields}
        seen: dict[Any, _Seen] = {}  # what values of a group were cast to, by type and value
        self._fields = [
            (field, seen.setdefault(field.group, {}) if field.kind in FEW_VALUES else None)
            for field in fields
        ]

    def cast(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list]:
        """Column → the cast value of each row; None = missing.

        Args:
            rows: raw columns by name; other columns are left aside.

        Raises:
            WrongOrder: a column is missing, or a value is not what its role asks for.
        """
        values: dict[str, list] = {}
        unusual = _Unusual(rows, values)
        for field, seen in self._fields:
            column, plain = field.column, field.plain
            found: list[Any] = []
            values[column] = found
            for row, cells in enumerate(rows):
                value = cells.get(column, _NOT_THERE)
                if value is None:
                    found.append(None)
                elif plain is not None and (cast := plain(value)) is not None:
                    found.append(cast)
                elif seen is not None and type(value) in _TYPES and (type(value), value) in seen:
                    found.append(seen[type(value), value])
                else:
                    found.append(unusual.left(field, seen, row, value))
        unusual.cast()
        return values


class _Unusual:
    """Values that are cast together with others of their kind, of the rows of one request.

    Args:
        rows: raw columns by name.
        values: where what they are cast to is put in, by column and row.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], values: dict[str, list]) -> None:
        self._rows, self._values = rows, values
        self._groups: dict[Any, list[tuple[Field, _Seen, int, Any]]] = {}

    def left(self, field: Field, seen: _Seen, row: int, value: Any) -> Any:
        """What a value is cast to; None where it waits for `cast`."""
        if value is _NOT_THERE:
            if field.optional:
                return None
            remedy = "send the column, as null where the order has no value"
            raise WrongOrder(row, field.column, None, "not there", remedy)
        value = _single(field, row, value)
        if field.plain is not None and (cast := field.plain(value)) is not None:
            return cast
        self._groups.setdefault((field.group, type(value)), []).append((field, seen, row, value))
        return None

    def cast(self) -> None:
        """Cast those that wait.

        Raises:
            WrongOrder: a value is not what its role asks for.
        """
        for (_, type_), waiting in self._groups.items():
            cast = waiting[0][0].caster(pa.array([value for *_, value in waiting], _TYPES[type_]))
            if cast.bad.any():
                field, _, row, _ = waiting[int(np.argmax(cast.bad))]
                value = self._rows[row][field.column]
                raise WrongOrder(row, field.column, value, cast.reason, REMEDIES[field.kind])
            for (field, seen, row, value), found in zip(waiting, cast.values.to_pylist(), strict=True):
                self._values[field.column][row] = found
                if seen is not None and len(seen) < MOST_SEEN:
                    seen[type_, value] = found


def _single(field: Field, row: int, value: Any) -> Any:
    """A single value of JSON, as it is held in an array."""
    if type(value) is int:
        if field.kind == "number" and abs(value) < EXACT_WHOLE:
            return float(value)
        return value if -(2**63) <= value < 2**63 else str(value)
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            problem = "a text with half a character"
            raise WrongOrder(row, field.column, None, problem, REMEDIES[field.kind]) from None
        return value
    if type(value) not in _TYPES:
        problem = f"a {type(value).__name__}, not a single value"
        raise WrongOrder(row, field.column, None, problem, REMEDIES[field.kind])
    return value


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
