"""Kept orders → encoded columns side by side, all rows and columns at once.

The values are those of `sequences.features`: a vocabulary encodes its own texts once, and a category's hash
finds the index; numbers are scaled by the function that scales a log's columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsa_model.events.codes import Codes
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.online.records import NO_CATEGORY, Records, hash_text
from tsa_model.sequences import Preprocessing
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features.derived import HOURS, calendar_column, signed_log
from tsa_model.sequences.features.encoding import Encoding, NumberRole
from tsa_model.settings.dataset import DatasetDescription


class EncodedCategories:
    """The categorical matrix of records.

    Args:
        description: the columns' roles.
        fitted: the vocabularies.
    """

    def __init__(self, description: DatasetDescription, fitted: Preprocessing) -> None:
        self._dtype = Encoding(fitted).dtype("categorical")
        self._calendar: list[tuple[int, str, np.ndarray]] = []
        self._places: list[int] = []
        self._columns: list[int] = []
        self._hashes: list[np.ndarray] = []
        tables: list[np.ndarray] = []
        raw = description.raw_categorical
        names = [name for name in fitted.categorical if name in description.categorical]
        self._width = len(names)
        for place, name in enumerate(names):
            vocabulary = fitted.categorical[name]
            if name not in raw:
                numbers = Codes(np.arange(len(HOURS), dtype=np.int32), HOURS)
                self._calendar.append((place, name, vocabulary.encode(numbers)))
                continue
            texts = {hash_text(text, description.fold_text): text for text in vocabulary.values}
            hashes = np.array(sorted(texts), np.uint64)
            # A text that the vocabulary lacks is unknown to the model, whatever it says.
            values = [*(texts[each] for each in hashes.tolist()), "\x00"]
            code = np.array([*range(len(values)), -1], np.int32)
            self._places.append(place)
            self._columns.append(raw.index(name))
            self._hashes.append(np.append(hashes, np.uint64(0)))
            tables.append(vocabulary.encode(Codes(code, values)))
        lengths = [len(table) for table in tables]
        self._table = np.concatenate(tables) if tables else np.empty(0, np.int32)
        self._default = np.cumsum(lengths) - 1
        """Where each column's index of a missing value lies in the table."""
        self._unknown = self._default - 1
        self._first = self._default + 1 - np.array(lengths, np.int64)

    def __call__(self, records: Records) -> np.ndarray:
        """Vocabulary indices, [N + 1, columns]; the last row is zeros."""
        matrix = np.zeros((len(records) + 1, self._width), self._dtype)
        if self._columns:
            matrix[:-1, self._places] = self._indices(records.categories[:, self._columns])
        for place, name, table in self._calendar:
            matrix[:-1, place] = table[calendar_column(name, records.time_us)]
        return matrix

    def _indices(self, hashes: np.ndarray) -> np.ndarray:
        at = np.empty(hashes.shape, np.int64)
        is_known = np.empty(hashes.shape, bool)
        for column, known in enumerate(self._hashes):
            found = known[:-1].searchsorted(hashes[:, column])
            at[:, column] = found
            is_known[:, column] = known[found] == hashes[:, column]
        at += self._first
        np.copyto(at, self._unknown, where=~is_known)
        np.copyto(at, self._default, where=hashes == NO_CATEGORY)
        return self._table[at]


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
        self._source = [
            0 if name in description.calendar else place_of[logs.get(name, name)] for name in names
        ]

    def __call__(self, given: np.ndarray, records: Records) -> np.ndarray:
        """Scaled numbers, [N + 1, columns] float32; the last row is zeros.

        Args:
            given: [N, numbers] float64; NaN = missing.
            records: the N orders.

        Raises:
            BadEvents: a number is infinite once it is scaled.
        """
        values = given[:, self._source]
        if self._logs:
            values[:, self._logs] = signed_log(values[:, self._logs])
        for place, name in self._calendar:
            values[:, place] = calendar_column(name, records.time_us)
        matrix = np.zeros((len(records) + 1, values.shape[1]), np.float32)
        orders = Orders(order_id=records.order_id, time_us=records.time_us, label=records.label)
        matrix[:-1] = self._encoding.matrix(self._role, values, orders)
        return matrix


def known_labels(records: Records, now_us: int) -> np.ndarray:
    """Labels as far as they count at a moment, [N] int8."""
    return np.where(records.known_us <= now_us, records.label, np.int8(UNKNOWN_LABEL))
