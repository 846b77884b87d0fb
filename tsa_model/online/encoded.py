"""Kept orders → encoded columns side by side, all rows and columns at once.

The values are those of `sequences.features`: a vocabulary encodes its own texts once, and a category's hash
finds the index; numbers are scaled by the function that scales a log's columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.online.records import NO_CATEGORY, Records, hash_text
from tsa_model.sequences import Preprocessing
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features.derived import HOURS, calendar_column, signed_log
from tsa_model.sequences.features.encoding import Encoding, NumberRole
from tsa_model.settings.dataset import DatasetDescription

_SALT = 0x9E3779B97F4A7C15
"""Odd, so that its multiples differ for all columns."""


class EncodedCategories:
    """The categorical matrix of records.

    All columns are looked up at once: each has a salt that makes its hashes differ from the others', and one
    sorted array holds them all. Two columns' hashes meet there as seldom as two texts' of one column.

    Args:
        description: the columns' roles.
        fitted: the vocabularies.
    """

    def __init__(self, description: DatasetDescription, fitted: Preprocessing) -> None:
        self._dtype = Encoding(fitted).dtype("categorical")
        self._calendar: list[tuple[int, str, np.ndarray]] = []
        raw = description.raw_categorical
        names = [name for name in fitted.categorical if name in description.categorical]
        self._width = len(names)
        places: list[int] = []
        columns: list[int] = []
        unknown: list[int] = []
        index_of: dict[int, int] = {}
        for place, name in enumerate(names):
            vocabulary = fitted.categorical[name]
            if name not in raw:
                numbers = Codes(np.arange(len(HOURS), dtype=np.int32), HOURS)
                self._calendar.append((place, name, vocabulary.encode(numbers)))
                continue
            texts = {hash_text(text, description.fold_text): text for text in vocabulary.values}
            # A text that the vocabulary lacks is unknown to the model, whatever it says.
            values = [*texts.values(), "\x00"]
            code = np.array([*range(len(values)), -1], np.int32)
            *known, of_unknown, default = vocabulary.encode(Codes(code, values)).tolist()
            salt = _salt(len(places))
            index_of |= {each ^ salt: index for each, index in zip(texts, known, strict=True)}
            index_of[NO_CATEGORY ^ salt] = default
            places.append(place)
            columns.append(raw.index(name))
            unknown.append(of_unknown)
        known_hashes = sorted(index_of)
        self._hashes = np.array([*known_hashes, 0], np.uint64)
        self._index = np.array([*(index_of[each] for each in known_hashes), 0], self._dtype)
        self._unknown = np.array(unknown, self._dtype)
        self._salts = np.array([_salt(place) for place in range(len(places))], np.uint64)
        self._places, self._columns = np.array(places, np.intp), np.array(columns, np.intp)

    def __call__(self, records: Records) -> np.ndarray:
        """Vocabulary indices, [N, columns]."""
        matrix = np.empty((len(records), self._width), self._dtype)
        if len(self._places):
            matrix[:, self._places] = self._indices(records.categories.take(self._columns, axis=1))
        for place, name, table in self._calendar:
            matrix[:, place] = table[calendar_column(name, records.time_us)]
        return matrix

    def _indices(self, hashes: np.ndarray) -> np.ndarray:
        salted = hashes ^ self._salts
        found = self._hashes[:-1].searchsorted(salted)
        return np.where(self._hashes[found] == salted, self._index[found], self._unknown)


def _salt(column: int) -> int:
    return column * _SALT % 2**64


class EncodedNumbers:
    """The numerical or the engineered matrix of records.

    Args:
        role: which of the two.
        description: the columns' roles.
        fitted: the scalers.
        given: names of the numbers that are given, in their order; of two of one name the last counts.
    """

    def __init__(
        self, role: NumberRole, description: DatasetDescription, fitted: Preprocessing, given: Sequence[str]
    ) -> None:
        self._role: NumberRole = role
        self._encoding = Encoding(fitted)
        names = list(getattr(fitted, role))
        place_of = {name: place for place, name in enumerate(given)}
        logs = description.log_columns
        self._calendar = [(place, name) for place, name in enumerate(names) if name in description.calendar]
        self._logs = [place for place, name in enumerate(names) if name in logs]
        self._source = np.array(
            [0 if name in description.calendar else place_of[logs.get(name, name)] for name in names], np.intp
        )

    def __call__(self, given: np.ndarray, records: Records) -> np.ndarray:
        """Scaled numbers, [N, columns] float32.

        Args:
            given: [N, numbers] float64; NaN = missing.
            records: the N orders.

        Raises:
            BadEvents: a number is infinite once it is scaled.
        """
        values = given.take(self._source, axis=1)
        if self._logs:
            values[:, self._logs] = signed_log(values[:, self._logs])
        for place, name in self._calendar:
            values[:, place] = calendar_column(name, records.time_us)
        return self._encoding.matrix(self._role, values, lambda: _orders(records))


def _orders(records: Records) -> Orders:
    return Orders(order_id=records.order_id, time_us=records.time_us, label=records.label)
