"""Raw orders of a request → clean ones, by the casts that read a log."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.events.casting import cast_label, cast_moment, cast_number
from tsa_model.events.cleaning import as_category
from tsa_model.events.ids import IdForm, cast_id, id_columns
from tsa_model.events.known_labels import TOO_EARLY
from tsa_model.events.plain import plain_id, plain_moment, plain_number
from tsa_model.events.units import DAY_US, UNKNOWN_LABEL
from tsa_model.online.cells import REMEDIES, Cells, Field, WrongOrder
from tsa_model.online.records import NO_CATEGORY, Records, hash_text, id_bytes
from tsa_model.sequences.features.exact_sums import LARGEST
from tsa_model.settings.dataset import DatasetDescription

TOO_LARGE = f"too large to be averaged over a window, which takes numbers below {LARGEST:.0e}"


@dataclass(frozen=True)
class CleanOrder:
    """One order, cast."""

    order_id: int | str
    name: bytes
    """The order's id in a store."""
    time_us: int
    """When it was placed."""
    keys: tuple[bytes, bytes]
    """Of customer and card; see `id_bytes`. Empty = no card."""
    record: Records
    """One row; derived columns are not filled in yet."""

    def content(self, n_raw: int) -> bytes:
        """Digest of what was sent, but for the label, which may come later."""
        record = self.record
        return content_digest(
            self.time_us, self.keys, record.categories[0].tobytes(), record.numbers[0, :n_raw].tobytes()
        )


def content_digest(time_us: int, keys: tuple[bytes, bytes], categories: bytes, numbers: bytes) -> bytes:
    """16 bytes that say whether two orders of one id are the same."""
    customer, card = keys
    parts = (time_us.to_bytes(8, "big"), bytes([len(customer)]), customer, card, categories, numbers)
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


class OrderReader:
    """Casts raw orders of one data set.

    Args:
        description: the columns' roles.
        forms: how ids are read.
        n_derived: derived columns that a record has room for.
        summed: raw numbers that windows add up.
    """

    def __init__(
        self,
        description: DatasetDescription,
        forms: Mapping[str, IdForm],
        n_derived: int,
        summed: Iterable[str] = (),
    ) -> None:
        self._d, self._forms, self._n_derived = description, forms, n_derived
        self._summed = frozenset(summed)
        d = description
        self._ids = tuple(id_columns(d))
        self._numbers = d.raw_numerical
        self._categories = d.raw_categorical
        # A column of two roles has one meaning: the category is the id or the number in words.
        self._own_categories = [c for c in self._categories if c not in {*self._ids, *self._numbers}]
        self._other_categories = [c for c in self._categories if c not in self._own_categories]
        self._words = [c if c in self._own_categories else f"category {c}" for c in self._categories]
        may_be_missing = {*d.may_be_missing, d.card_id}
        self._needed = [c for c in (*self._ids, d.order_time, *self._numbers) if c not in may_be_missing]
        self._underived = [math.nan] * n_derived
        self._label_delay_us = round(d.label_delay_days * DAY_US)
        self._cells, self._label_cells = Cells(list(self._fields())), Cells(self._label_fields())

    def _fields(self) -> Iterator[Field]:
        """The columns of an order."""
        d = self._d
        words = frozenset(word.strip().lower() for word in d.missing_words)
        for column in self._ids:
            form = self._forms[column]
            caster = partial(cast_id, form=form, missing_words=d.missing_words)
            plain = partial(plain_id, form=form, missing_words=words)
            yield Field("id", column, ("id", form), caster, plain)
        yield Field("time", d.order_time, "time", cast_moment, plain_moment)
        yield Field("label", d.label, "label", partial(cast_label, decimal=d.csv.decimal), optional=True)
        if d.label_time is not None:
            yield Field("time", d.label_time, "time", cast_moment, plain_moment, optional=True)
        for column in self._numbers:
            caster = partial(cast_number, decimal=d.csv.decimal)
            yield Field("number", column, "number", caster, plain_number)
        for column in self._own_categories:
            spelling = (column in d.numeric_categorical, column in d.float_categorical)
            caster = partial(as_category, column=column, description=d)
            yield Field("category", column, ("category", spelling), caster)

    def _label_fields(self) -> list[Field]:
        """What a label is sent with."""
        d = self._d
        ids = partial(cast_id, form=self._forms[d.order_id], missing_words=d.missing_words)
        return [
            Field("id", "order_id", "id", ids),
            Field("known label", "label", "label", partial(cast_label, decimal=d.csv.decimal)),
            Field("time", "known_at", "time", cast_moment),
        ]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[CleanOrder]:
        """Cast orders.

        Args:
            rows: raw columns by name; columns without a role are left aside.

        Raises:
            WrongOrder: a column is missing, or a value is not what its role asks for.
        """
        values = self._cells.cast(rows)
        for column in self._needed:
            if None in values[column]:
                row, remedy = values[column].index(None), REMEDIES[self._cells.kinds[column]]
                raise WrongOrder(row, column, rows[row][column], "missing", remedy)
        self._check_sizes(values, rows)
        self._check_label_times(values, rows)
        for column in self._other_categories:
            values[f"category {column}"] = self._in_words(values[column], column, rows)
        return [self._order(values, row) for row in range(len(rows))]

    def _check_sizes(self, values: Mapping[str, list], rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what no window could add up, before a history holds it."""
        for column in self._summed:
            for row, value in enumerate(values[column]):
                if value is not None and abs(value) >= LARGEST:
                    raise WrongOrder(row, column, rows[row][column], TOO_LARGE, REMEDIES["number"])

    def _check_label_times(self, values: Mapping[str, list], rows: Sequence[Mapping[str, Any]]) -> None:
        name = self._d.label_time
        for row, told_us in enumerate(values[name] if name is not None else ()):
            if told_us is not None and told_us < values[self._d.order_time][row]:
                assert name is not None
                raise WrongOrder(row, name, rows[row][name], TOO_EARLY, REMEDIES["label time"])

    def read_labels(self, labels: Sequence[tuple[Any, Any, Any]]) -> list[tuple[int | str, bytes, int, int]]:
        """Cast labels: the order's id, what stands for it, 0 or 1, and from when on it is known, of each.

        Raises:
            WrongOrder: a value is not what it should be.
        """
        rows = [dict(zip(("order_id", "label", "known_at"), each, strict=True)) for each in labels]
        values = self._label_cells.cast(rows)
        for name, found in values.items():
            for row, value in enumerate(found):
                if value is None or (name == "label" and value == UNKNOWN_LABEL):
                    remedy = REMEDIES[self._label_cells.kinds[name]]
                    raise WrongOrder(row, name, rows[row][name], "missing", remedy)
        columns = (values[name] for name in ("order_id", "label", "known_at"))
        return [
            (order_id, id_bytes(order_id), label, at) for order_id, label, at in zip(*columns, strict=True)
        ]

    def _in_words(self, known: list, column: str, rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
        type_ = pa.float64() if column in self._numbers else None
        words = as_category(pa.array(known, type_), column, self._d)
        for row in np.flatnonzero(words.bad).tolist():
            raise WrongOrder(row, column, rows[row][column], words.reason, REMEDIES["category"])
        return words.values.to_pylist()

    def _order(self, values: dict[str, list], row: int) -> CleanOrder:
        d = self._d
        order_id, customer = values[d.order_id][row], values[d.customer_id][row]
        card = values[d.card_id][row] if d.card_id is not None else None
        texts = [values[name][row] for name in self._words]
        hashes = [NO_CATEGORY if text is None else hash_text(text, d.fold_text) for text in texts]
        raw = [values[name][row] for name in self._numbers]
        numbers = [math.nan if number is None else number for number in raw]
        time_us, label = values[d.order_time][row], values[d.label][row]
        told_us = None if d.label_time is None else values[d.label_time][row]
        known_us = time_us + self._label_delay_us if told_us is None else told_us
        is_whole = isinstance(order_id, int)
        return CleanOrder(
            order_id,
            id_bytes(order_id),
            time_us,
            (id_bytes(customer), b"" if card is None else id_bytes(card)),
            Records(
                time_us=np.array([time_us], np.int64),
                known_us=np.array([known_us], np.int64),
                label=np.array([UNKNOWN_LABEL if label is None else label], np.int8),
                categories=np.array([hashes], np.uint64),
                numbers=np.array([numbers + self._underived], np.float64),
                order_id=np.array([order_id], np.int64) if is_whole else np.array([order_id.encode()]),
            ),
        )


def early_label(row: int, value: Any) -> WrongOrder:
    """The refusal of a label that is said to be known before its order was placed."""
    return WrongOrder(row, "known_at", value, TOO_EARLY, REMEDIES["label time"])
