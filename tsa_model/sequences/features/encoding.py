"""Raw columns → the numbers a network takes, of a whole log or of one order's history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.events.errors import BadEvents
from tsa_model.sequences.columns.event_columns import Columns, Orders
from tsa_model.sequences.features.preprocessing import Preprocessing, Scaler, scaled

NumberRole = Literal["numerical", "engineered"]
Role = Literal["categorical"] | NumberRole


class Encoding:
    """What was fitted, as functions of columns."""

    def __init__(self, fitted: Preprocessing) -> None:
        self._fitted = fitted
        small = fitted.n_embedding <= np.iinfo(np.int16).max
        self._index_dtype = np.dtype(np.int16 if small else np.int32)
        self._scalers = {
            "numerical": _side_by_side(fitted.numerical.values()),
            "engineered": _side_by_side(fitted.engineered.values()),
        }

    def dtype(self, role: Role) -> np.dtype:
        """Of the encoded columns."""
        return self._index_dtype if role == "categorical" else np.dtype(np.float32)

    def names(self, role: Role, columns: Columns) -> list[str]:
        """The features of a role in their order; without the known label, which depends on the target."""
        names = list(getattr(self._fitted, role))
        return [name for name in names if name in columns.categorical] if role == "categorical" else names

    def column(self, role: Role, columns: Columns, name: str, part: slice = slice(None)) -> np.ndarray:
        """Encode consecutive events of a column.

        Args:
            role: of the column.
            columns: the events.
            name: of the column.
            part: the events.

        Returns:
            [n] vocabulary indices, or scaled values, float32.

        Raises:
            BadEvents: a number is infinite once it is scaled.
        """
        if role == "categorical":
            codes = columns.categorical[name]
            values = self._fitted.categorical[name].encode(Codes(codes.code[part], codes.values))
            return values.astype(self._index_dtype)
        raw = columns.numerical[name][part]
        with np.errstate(over="ignore"):
            values = getattr(self._fitted, role)[name].apply(raw).astype(np.float32)
        if not (is_finite := np.isfinite(values)).all():
            row = int(np.argmin(is_finite))
            raise _overflow(columns, name, (part.start or 0) + row, float(raw[row]))
        return values

    def matrix(self, role: NumberRole, raw: np.ndarray, columns: Callable[[], Columns]) -> np.ndarray:
        """Scale all columns of a role at once, to the values of `column`.

        Args:
            role: of the columns.
            raw: [n, columns of the role] float64; NaN = missing.
            columns: gives the events, for messages.

        Returns:
            [n, columns] float32.

        Raises:
            BadEvents: a number is infinite once it is scaled.
        """
        with np.errstate(over="ignore"):
            values = scaled(raw, *self._scalers[role]).astype(np.float32)
        if not (is_finite := np.isfinite(values)).all():
            row, place = np.argwhere(~is_finite)[0].tolist()
            name = list(getattr(self._fitted, role))[place]
            raise _overflow(columns(), name, row, float(raw[row, place]))
        return values


def _side_by_side(scalers: Iterable[Scaler]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales, lowest values and defaults of columns, [columns] float64 each."""
    scale, low, default = np.array([(one.scale, one.min, one.default) for one in scalers]).reshape(-1, 3).T
    return scale, low, default


def _overflow(columns: Columns, name: str, row: int, value: float) -> BadEvents:
    """A number that is infinite once it is scaled, named by its order, or its time inside a history."""
    whose = f"an order of {np.datetime64(int(columns.time_us[row]), 'us')} UTC"
    if isinstance(columns, Orders):
        order = columns.order_id[row]
        whose = f"order {order.decode() if isinstance(order, bytes) else order}"
    return BadEvents(
        f"column {name}: {value:g} ({whose}) is too large once it is scaled as the training period's "
        "values are; correct the value or leave the order out"
    )
