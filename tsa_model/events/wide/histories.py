"""The histories of wide rows: columns of `~`-joined values, split, matched and cut for many rows at once.

Per key there are two histories, of the categorical and of the numerical features, each with its own order
ids and dates. They are matched on the order id; what only one of them has is dropped.

    cat_objectId_by_cid  a~b~c      cat_0_by_cid  x~y~z       aligned:  b y 7
    num_objectId_by_cid  b~c~d      num_0_by_cid  7~8~9                 c z 8
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags
from tsa_model.events.casting import MISSING_TEXTS, cast_moment, cast_number, number_spelling
from tsa_model.events.codes import Codes
from tsa_model.events.ids import is_missing_word, numbers_of
from tsa_model.events.wide.matching import Matching, measure
from tsa_model.events.wide.texts import SEPARATOR, JoinedColumn, TextRows
from tsa_model.settings.dataset import DatasetDescription

KEYS = ("cid", "ccid")
"""The customer's and the card's history, as tensors and columns are named."""


@dataclass(frozen=True)
class WideLayout:
    """Names of the columns of wide rows."""

    order_id: str
    order_time: str
    categorical: tuple[str, ...]
    numerical: tuple[str, ...]
    numeric_categorical: frozenset[str] = frozenset()
    """Categories written as numbers, of which the whole part counts: "3.0" is "3"."""
    float_categorical: frozenset[str] = frozenset()
    """Categories written as numbers: "0.0" is "0", "1.5" stays."""
    missing_words: tuple[str, ...] = ()
    """Words that stand for no id, in any case."""
    decimal: str = "."
    """What stands before a number's fraction."""

    @classmethod
    def of(cls, description: DatasetDescription) -> WideLayout:
        """The layout that a description names."""
        return cls(
            order_id=description.order_id,
            order_time=description.order_time,
            categorical=description.categorical,
            numerical=description.numerical,
            numeric_categorical=frozenset(description.numeric_categorical),
            float_categorical=frozenset(description.float_categorical),
            missing_words=description.missing_words,
            decimal=description.csv.decimal,
        )

    def columns(self, keys: Sequence[str]) -> list[str]:
        """Names of all columns that sequences are made from."""
        names = [self.order_id, self.order_time, *self.categorical, *self.numerical]
        for key in keys:
            marks = [f"{kind}_{mark}" for kind in ("cat", "num") for mark in ("objectId", "orderDate")]
            names += [f"{name}_by_{key}" for name in (*self.categorical, *self.numerical, *marks)]
        return list(dict.fromkeys(names))

    def normal_text(self, feature: str, text: str) -> str | None:
        """Return a category in the spelling of the dictionaries; None when it is missing.

        Raises:
            ValueError: it should be a number and is none.
        """
        if text in MISSING_TEXTS:
            return None
        if feature in self.numeric_categorical or feature in self.float_categorical:
            return number_spelling(text, whole=feature in self.numeric_categorical)
        return text


class UnusableRows(Exception):
    """Some wide rows cannot be parsed, for one reason."""

    def __init__(self, rows: TextRows, column: str, bad: np.ndarray, reason: str) -> None:
        super().__init__(f"column {column}: {reason} in {len(bad):,} of {rows.n_rows:,} rows")
        self.reason = f"column {column}: {reason}"
        self.rows = bad
        """Row numbers, ascending."""
        self.values = rows.column(column).take(pa.array(bad))
        """The raw values."""


@dataclass
class WideSequences:
    """One key's sequences of n rows, one after the other, each ending with the current order."""

    length: np.ndarray
    """[n] int64, at least 1."""
    categorical: dict[str, Codes]
    numerical: dict[str, np.ndarray]
    """[sum of length] float64; NaN = missing."""
    time_us: np.ndarray
    """[sum of length] int64."""
    matching: Matching
    """How well the two sides matched."""


def read_sequences(rows: TextRows, layout: WideLayout, key: str, seq_len: int) -> WideSequences:
    """Split and align one key's histories, the current order at their end.

    Args:
        rows: the columns `layout.columns` names.
        layout: the names.
        key: suffix of the history columns.
        seq_len: L; of longer histories the latest L − 1 orders are kept.

    Raises:
        UnusableRows: some rows cannot be parsed.
    """
    cat, num = _History(rows, layout, "cat", key), _History(rows, layout, "num", key)
    in_cat, in_num = _align(cat, num)
    matching = _measure(rows, layout, cat, num, in_cat, in_num)
    kept = _latest(cat.row[in_cat], seq_len - 1)
    length = np.bincount(cat.row[in_cat[kept]], minlength=rows.n_rows) + 1
    current = np.cumsum(length) - 1
    owner = np.repeat(np.arange(rows.n_rows), length)
    is_earlier = np.ones(len(owner), dtype=bool)
    is_earlier[current] = False

    def tokens_of(history: _History, entries: np.ndarray) -> np.ndarray:
        token = np.empty(len(owner), dtype=np.int64)
        token[is_earlier], token[current] = history.token[entries], history.current
        return token

    from_cat, from_num = tokens_of(cat, in_cat[kept]), tokens_of(num, in_num[kept])
    time_us = cat.time_us()[from_cat]
    dates = f"cat_orderDate_by_{key}"
    _refuse(rows, dates, owner[num.time_us()[from_num] != time_us], "not the dates of num_orderDate")
    _refuse(rows, dates, owner[time_us > np.repeat(time_us[current], length)], "later than the order itself")
    return WideSequences(
        length=length,
        categorical={name: cat.codes(name, from_cat) for name in layout.categorical},
        numerical={name: num.numbers(name)[from_num] for name in layout.numerical},
        time_us=time_us,
        matching=matching,
    )


def match_histories(rows: TextRows, layout: WideLayout, key: str) -> tuple[Matching, np.ndarray]:
    """Match the two sides of one key's histories, without their values.

    Args:
        rows: the columns of order ids.
        layout: the names.
        key: suffix of the history columns.

    Returns:
        The counts, and [n] bool, True where an order is an entry of its own history.

    Raises:
        UnusableRows: some rows cannot be parsed.
    """
    cat, num = _History(rows, layout, "cat", key), _History(rows, layout, "num", key)
    in_cat, in_num = _align(cat, num)
    own = numbers_of(rows.column(layout.order_id)).take(pa.array(cat.row))
    inside = np.zeros(rows.n_rows, dtype=bool)
    inside[cat.row[flags(pc.equal(numbers_of(cat.ids), own))]] = True
    return _measure(rows, layout, cat, num, in_cat, in_num), inside


class _History:
    """The categorical or the numerical history of one key, of all rows."""

    def __init__(self, rows: TextRows, layout: WideLayout, kind: str, key: str) -> None:
        self._rows, self._layout, self._kind, self._key = rows, layout, kind, key
        name = f"{kind}_objectId_by_{key}"
        _refuse_separators(rows, layout.order_id)
        ids = JoinedColumn(*rows.joined(name, layout.order_id))
        no_ids = (*MISSING_TEXTS, *layout.missing_words)
        self._is_empty = flags(is_missing_word(rows.column(name), no_ids))
        self._count = ids.count
        self.current = np.cumsum(self._count) - 1
        """[n] token of the current order."""
        is_earlier = np.ones(self._count.sum(), dtype=bool)
        is_earlier[self.current] = False
        is_earlier[self.current[self._is_empty] - 1] = False  # the one token of an empty history
        self.token = np.flatnonzero(is_earlier)
        """[entries] token of each earlier order."""
        self._owner = np.repeat(np.arange(rows.n_rows), self._count)
        self.row = self._owner[self.token]
        """[entries] row of each earlier order."""
        self.ids = ids.texts().take(pa.array(self.token))
        is_nothing = flags(pc.is_null(self.ids)) | flags(is_missing_word(self.ids, layout.missing_words))
        _refuse(rows, name, self.row[is_nothing], "an order without id")

    def _tokens(self, name: str, current: str) -> JoinedColumn:
        tokens = JoinedColumn(*self._rows.joined(name, current))
        if not tokens.has_counts(self._count):
            tokens = JoinedColumn(*self._rows.joined(name, current, blank=self._is_empty))
            unequal = np.flatnonzero(tokens.count != self._count)
            _refuse_separators(self._rows, current)
            _refuse(self._rows, name, unequal, f"not as many values as {self._kind}_objectId_by_{self._key}")
        return tokens

    def time_us(self) -> np.ndarray:
        """Each token's moment, [tokens] int64."""
        name, current = f"{self._kind}_orderDate_by_{self._key}", self._layout.order_time
        texts = self._tokens(name, current).texts()
        moment = cast_moment(texts)
        bad = flags(pc.is_null(moment.values))
        bad[self.current[self._is_empty] - 1] = False
        self._refuse_tokens(name, current, bad, f"not {moment.asked}")
        return pc.fill_null(moment.values, 0).to_numpy()

    def numbers(self, feature: str) -> np.ndarray:
        """The feature's value at each token, [tokens] float64; NaN where missing."""
        name = f"{feature}_by_{self._key}"
        number = cast_number(self._tokens(name, feature).texts(), self._layout.decimal)
        self._refuse_tokens(name, feature, number.bad, number.reason)
        return number.values.to_numpy(zero_copy_only=False)

    def codes(self, feature: str, tokens: np.ndarray) -> Codes:
        """The feature's category at the given tokens."""
        name = f"{feature}_by_{self._key}"
        word, words = self._tokens(name, feature).words()
        number: dict[str, int] = {}
        code = np.full(len(words), -1, dtype=np.int32)
        for place, text in enumerate(words):
            try:
                normal = self._layout.normal_text(feature, text)
            except ValueError:
                self._refuse_tokens(name, feature, word == place, "not a number")
            if normal is not None:
                code[place] = number.setdefault(normal, len(number))
        return Codes(code[word[tokens]], list(number))

    def _refuse_tokens(self, name: str, current: str, bad: np.ndarray, reason: str) -> None:
        """Refuse the rows of bad tokens, naming the history's column or the current order's."""
        _refuse(self._rows, current, np.flatnonzero(bad[self.current]), reason)
        _refuse(self._rows, name, self._owner[bad], reason)


def _align(cat: _History, num: _History) -> tuple[np.ndarray, np.ndarray]:
    """Entries that both histories have: their places in each, in the categorical one's order."""
    both = pa.concat_arrays([cat.ids, num.ids]).dictionary_encode()
    code = both.indices.to_numpy().astype(np.int64)
    cat_entry = cat.row * (len(both.dictionary) + 1) + code[: len(cat.row)]
    num_entry = num.row * (len(both.dictionary) + 1) + code[len(cat.row) :]
    if not len(num_entry):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    by_entry = np.argsort(num_entry, kind="stable")
    place = np.searchsorted(num_entry, cat_entry, sorter=by_entry)
    place = by_entry[np.minimum(place, len(by_entry) - 1)]
    in_both = num_entry[place] == cat_entry
    return np.flatnonzero(in_both), place[in_both]


def _measure(
    rows: TextRows, layout: WideLayout, cat: _History, num: _History, in_cat: np.ndarray, in_num: np.ndarray
) -> Matching:
    sides = ((cat.row, cat.ids, in_cat), (num.row, num.ids, in_num))
    return measure(*sides, rows.column(layout.order_id))


def _latest(row: np.ndarray, most: int) -> np.ndarray:
    """Places of the last `most` entries of each row; `row` is ascending."""
    return np.flatnonzero(np.searchsorted(row, row, side="right") - np.arange(len(row)) <= most)


def _refuse_separators(rows: TextRows, column: str) -> None:
    """Refuse rows whose own value, which is one, would fall apart."""
    apart = flags(pc.match_substring(rows.column(column), SEPARATOR))
    _refuse(rows, column, np.flatnonzero(apart), f"a {SEPARATOR} in a single value")


def _refuse(rows: TextRows, column: str, bad: np.ndarray, reason: str) -> None:
    if len(bad):
        raise UnusableRows(rows, column, np.unique(bad), reason)
