"""Single values of raw orders: held together by what they are to become, then cast.

Values of usual forms are cast one by one, the others of one role and one JSON type together; what a value
means is decided by `tsa_model.events` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class Cells:
    """Values to cast, gathered by what they are to become and by their JSON type."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], seen: dict[Any, Any]) -> None:
        self._rows, self._seen = rows, seen
        self._values: dict[str, list] = {}
        self.kinds: dict[str, str] = {}
        self._groups: dict[tuple[Any, type], tuple[Caster, list[Any], list[tuple[str, int]]]] = {}

    def add(
        self,
        kind: str,
        column: str,
        group: Any,
        caster: Caster,
        plain: Plain | None = None,
        optional: bool = False,
    ) -> None:
        """Gather a column; what `plain` casts is done."""
        found: list = [None] * len(self._rows)
        self._values[column] = found
        self.kinds[column] = kind
        for row, cells in enumerate(self._rows):
            if column not in cells:
                if optional:
                    continue
                remedy = "send the column, as null where the order has no value"
                raise WrongOrder(row, column, None, "not there", remedy)
            value = cells[column]
            if value is None:
                continue
            value = self._single(kind, column, row, value)
            if plain is not None and (cast := plain(value)) is not None:
                found[row] = cast
                continue
            place = (group, type(value))
            if kind in FEW_VALUES and (place, value) in self._seen:
                found[row] = self._seen[place, value]
                continue
            if place not in self._groups:
                self._groups[place] = (caster, [], [])
            _, values, cells_of = self._groups[place]
            values.append(value)
            cells_of.append((column, row))

    def _single(self, kind: str, column: str, row: int, value: Any) -> Any:
        if type(value) is int:
            if kind == "number" and abs(value) < EXACT_WHOLE:
                return float(value)
            return value if -(2**63) <= value < 2**63 else str(value)
        if type(value) is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                raise WrongOrder(row, column, None, "a text with half a character", REMEDIES[kind]) from None
            return value
        if type(value) not in _TYPES:
            problem = f"a {type(value).__name__}, not a single value"
            raise WrongOrder(row, column, None, problem, REMEDIES[kind])
        return value

    def values(self) -> dict[str, list]:
        """Column → the cast value of each order; None = missing.

        Raises:
            WrongOrder: a value is not what its role asks for.
        """
        for (group, type_), (caster, values, cells) in self._groups.items():
            cast = caster(pa.array(values, _TYPES[type_]))
            if cast.bad.any():
                column, row = cells[int(np.argmax(cast.bad))]
                value = self._rows[row][column]
                raise WrongOrder(row, column, value, cast.reason, REMEDIES[self.kinds[column]])
            for place, ((column, row), value) in enumerate(zip(cells, cast.values.to_pylist(), strict=True)):
                self._values[column][row] = value
                if self.kinds[column] in FEW_VALUES and len(self._seen) < MOST_SEEN:
                    self._seen[(group, type_), values[place]] = value
        return self._values


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
