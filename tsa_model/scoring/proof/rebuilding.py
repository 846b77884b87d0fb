"""Sampled orders, each rebuilt alone from the rows of its own customer and card."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tsa_model.events.arrays import one_array
from tsa_model.events.units import DAY_US
from tsa_model.scoring.proof.derived import calendar_value, lag_value, log_value, window_value
from tsa_model.scoring.proof.plain_orders import PlainOrder, PlainSequence, folded
from tsa_model.scoring.proof.raw_orders import RawOrders
from tsa_model.scoring.proof.statement import plain
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag, Window

if TYPE_CHECKING:
    from tsa_model.events.wide.histories import WideSequences


@dataclass(frozen=True)
class OwnKeys:
    """The keys of some orders."""

    order_id: pa.Array
    customer: pa.Array
    card: pa.Array | None


def rebuild(raw: RawOrders, own: OwnKeys) -> list[PlainOrder]:
    """Rebuild orders, in the order of `own`.

    Raises:
        TooManyRows: their histories hold more rows than are kept in memory.
    """
    d = raw.description
    names = {"customer": d.customer_id, "card": d.card_id}
    wanted = {"customer": own.customer, "card": own.card}

    def read() -> KeyedRows:
        keys = {name: ids for key, ids in wanted.items() if (name := names[key]) is not None}
        return KeyedRows(raw.rows_of({name: pc.unique(ids.drop_null()) for name, ids in keys.items()}), d)

    rows = read()
    of_histories: tuple[Window | Lag, ...] = (*d.windows, *d.lags)
    further = {each.key for each in of_histories if set(each.columns()) & set(d.numerical)}
    if further:
        # Windows and lags of the earlier orders look at the other rows of those orders' own keys.
        places = rows.histories_of(own.order_id)
        for key in further:
            wanted[key] = pa.concat_arrays([wanted[key], rows.ids_of(key, places)])
        rows = read()
    return [rows.order(place) for place in rows.places_of(own.order_id)]


class KeyedRows:
    """All orders of some customers and cards, in the order of (time, order id).

    Args:
        cleaned: columns as `tsa_model.events.cleaning.clean` names them.
        description: the columns' roles.
    """

    def __init__(self, cleaned: pa.Table, description: DatasetDescription) -> None:
        self._description = description
        ids = cleaned["order_id"].to_numpy()
        text = ids if ids.dtype.kind == "i" else ids.astype(np.str_)
        self._table = cleaned.take(pa.array(np.lexsort((text, cleaned["time_us"].to_numpy()))))
        self._order_id = self._table["order_id"].combine_chunks()
        self._time_us = self._table["time_us"].to_numpy()
        self._label = self._table["label"].to_numpy().astype(np.int64)
        self._known_us = self._time_us + round(description.label_delay_days * DAY_US)
        if description.label_time is not None:
            self._known_us = self._table["known_us"].to_numpy()
        self._numbers = {
            name: self._table[f"n{place}"].to_numpy(zero_copy_only=False).astype(np.float64)
            for place, name in enumerate(description.raw_numerical)
        }
        self._words = {
            name: _Words(self._table[f"c{place}"]) for place, name in enumerate(description.raw_categorical)
        }
        self._of_key = {name: _Groups(self._table[name]) for name in self._keys}
        self._found: dict[tuple[str, int], float] = {}

    @property
    def _keys(self) -> list[str]:
        return ["customer"] + (["card"] if self._description.card_id is not None else [])

    def places_of(self, order_id: pa.Array) -> list[int]:
        """The places of orders, which must be there."""
        return pc.index_in(order_id, value_set=self._order_id).to_pylist()

    def histories_of(self, order_id: pa.Array) -> NDArray[np.int64]:
        """The places of orders and of all that their sequences hold."""
        places = self.places_of(order_id)
        return np.unique(np.concatenate([self._sequence(key, one) for key in self._keys for one in places]))

    def ids_of(self, key: str, places: NDArray[np.int64]) -> pa.Array:
        """The keys of some orders; null where an order has none."""
        return self._table[key].take(pa.array(places)).combine_chunks()

    def order(self, place: int) -> PlainOrder:
        """One order with its histories."""
        return PlainOrder(
            plain(self._order_id[place].as_py()),
            [self._plain(self._sequence(key, place)) for key in self._keys],
            [self._number(name, place) for name in self._description.engineered],
        )

    def _earlier(self, key: str, place: int) -> NDArray[np.int64]:
        """Places of all strictly earlier orders of an order's key, oldest first."""
        own = self._of_key[key].with_same_key(place)
        return own[self._time_us[own] < self._time_us[place]]

    def _sequence(self, key: str, place: int) -> NDArray[np.int64]:
        """Places of an order's latest earlier orders, and then itself: at most `seq_len`."""
        earlier = self._earlier(key, place)
        most = self._description.seq_len - 1
        return np.append(earlier[max(0, len(earlier) - most) :], place)

    def _plain(self, places: NDArray[np.int64]) -> PlainSequence:
        d = self._description
        categories = [self._texts(name, places) for name in d.categorical]
        numbers = [self._values(name, places) for name in d.numerical]
        return PlainSequence(
            time_us=self._time_us[places].tolist(),
            label=self._label[places].tolist(),
            known_us=self._known_us[places].tolist(),
            categories=[list(row) for row in zip(*categories, strict=True)] or [[] for _ in places],
            numbers=[list(row) for row in zip(*numbers, strict=True)],
        )

    def _texts(self, name: str, places: NDArray[np.int64]) -> list[str | None]:
        """A categorical feature of some orders."""
        if name in self._description.calendar:
            return [str(calendar_value(name, time_us)) for time_us in self._time_us[places].tolist()]
        return self._words[name].at(places)

    def _values(self, name: str, places: NDArray[np.int64]) -> list[float]:
        """A numerical feature of some orders."""
        if name in self._numbers:
            return self._numbers[name][places].tolist()
        return [self._number(name, place) for place in places.tolist()]

    def _number(self, name: str, place: int) -> float:
        """A numerical or engineered value of an order."""
        if name in self._numbers:
            return float(self._numbers[name][place])
        if name in self._description.calendar:
            return float(calendar_value(name, int(self._time_us[place])))
        if name in self._description.log_columns:
            return log_value(float(self._numbers[self._description.log_columns[name]][place]))
        if (name, place) not in self._found:
            of_history = self._window_value if name in self._windows else self._lag_value
            self._found[name, place] = of_history(name, place)
        return self._found[name, place]

    def _lag_value(self, name: str, place: int) -> float:
        lag, back = self._lags[name]
        earlier = self._earlier(lag.key, place)
        then = int(earlier[-back]) if back <= len(earlier) else None
        if lag.statistic == "same" and lag.column is not None:
            if then is None:
                return 0.0
            own, before = self._texts(lag.column, np.array([place, then]))
            if own is None or before is None:
                return 0.0
            fold = self._description.fold_text
            return float((folded(own) == folded(before)) if fold else own == before)
        column = None if lag.column is None else self._numbers[lag.column]
        return lag_value(
            lag,
            len(earlier),
            None if then is None else int(self._time_us[place] - self._time_us[then]),
            math.nan if column is None else float(column[place]),
            math.nan if column is None or then is None else float(column[then]),
        )

    @cached_property
    def _lags(self) -> dict[str, tuple[Lag, int]]:
        return {name: (lag, back) for lag in self._description.lags for name, back in lag.columns().items()}

    def _window_value(self, name: str, place: int) -> float:
        window, days = self._windows[name]
        earlier = self._earlier(window.key, place)
        column = None if window.column is None else self._numbers[window.column]
        return window_value(
            window,
            days,
            self._time_us[place] - self._time_us[earlier],
            self._time_us[place] - self._known_us[earlier],
            self._label[earlier],
            None if column is None else column[earlier],
            math.nan if column is None else float(column[place]),
        )

    @cached_property
    def _windows(self) -> dict[str, tuple[Window, float]]:
        return {
            name: (window, days)
            for window in self._description.windows
            for name, days in window.columns().items()
        }


class _Words:
    """A column of texts."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        self._code = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
        self._words = [*encoded.dictionary.to_pylist(), None]

    def at(self, places: NDArray[np.int64]) -> list[str | None]:
        """The texts of some rows; None = missing."""
        return [self._words[code] for code in self._code[places].tolist()]


class _Groups:
    """Which rows have the same key."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks().dictionary_encode()
        self._code = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
        self._by_code = np.argsort(self._code, kind="stable")
        self._sorted = self._code[self._by_code]

    def with_same_key(self, place: int) -> NDArray[np.int64]:
        """Places of all rows with this row's key, ascending; none where it has no key."""
        code = self._code[place]
        if code < 0:
            return np.empty(0, np.int64)
        first, last = np.searchsorted(self._sorted, [code, code + 1])
        return self._by_code[first:last]


def rebuild_wide(raw: RawOrders, order_id: pa.Array) -> list[PlainOrder]:
    """Rebuild orders of the wide layout, in the order of `order_id`: each row carries its own histories."""
    from tsa_model.events.casting import cast_number
    from tsa_model.events.wide.histories import WideLayout, read_sequences
    from tsa_model.events.wide.texts import TextRows

    d, layout = raw.description, WideLayout.of(raw.description)
    suffixes = [key for key in (d.customer_id, d.card_id) if key is not None]
    columns = list(dict.fromkeys([*layout.columns(suffixes), *d.engineered]))
    found: dict[Any, pa.Table] = {}
    for _, part, _ in raw.parts(columns):
        ids = raw.ids(part, d.order_id)
        place = pc.index_in(ids, value_set=order_id)
        for row in np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False)).tolist():
            found.setdefault(ids[row].as_py(), part.slice(row, 1))
    table = pa.concat_tables([found[one] for one in order_id.to_pylist()], promote_options="permissive")
    rows = TextRows(table, columns, "the sampled orders")
    sequences = [_of_wide(read_sequences(rows, layout, suffix, d.seq_len), d) for suffix in suffixes]
    engineered = [
        cast_number(one_array(table[name]), d.csv.decimal).values.to_numpy(zero_copy_only=False)
        for name in d.engineered
    ]
    return [
        PlainOrder(one, [each[place] for each in sequences], [float(values[place]) for values in engineered])
        for place, one in enumerate(order_id.to_pylist())
    ]


def _of_wide(sequences: WideSequences, description: DatasetDescription) -> list[PlainSequence]:
    """One key's sequences of n rows, taken apart."""
    categories: list[list[str | None]] = []
    for name in description.categorical:
        codes = sequences.categorical[name]
        categories.append([None if code < 0 else codes.values[code] for code in codes.code.tolist()])
    numbers = [sequences.numerical[name].tolist() for name in description.numerical]
    time_us, found, first = sequences.time_us.tolist(), [], 0
    for n in sequences.length.tolist():
        part = slice(first, first + n)
        found.append(
            PlainSequence(
                time_us=time_us[part],
                label=[-1] * n,
                known_us=time_us[part],
                categories=[list(row) for row in zip(*(each[part] for each in categories), strict=True)],
                numbers=[list(row) for row in zip(*(each[part] for each in numbers), strict=True)],
            )
        )
        first += n
    return found
