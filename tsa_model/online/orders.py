"""Raw orders of a request → clean ones, by the casts that read a log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
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
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.online.cells import REMEDIES, Cells, WrongOrder
from tsa_model.online.records import NO_CATEGORY, Records, hash_text, id_bytes
from tsa_model.sequences.features.exact_sums import LARGEST
from tsa_model.settings.dataset import DatasetDescription

TOO_LARGE = f"too large to be averaged over a window, which takes numbers below {LARGEST:.0e}"


@dataclass(frozen=True)
class CleanOrder:
    """One order, cast."""

    order_id: int | str
    keys: tuple[bytes, bytes]
    """Of customer and card; see `id_bytes`. Empty = no card."""
    record: Records
    """One row; derived columns are not filled in yet."""

    @property
    def name(self) -> bytes:
        """The order's id in a store."""
        return id_bytes(self.order_id)

    @property
    def time_us(self) -> int:
        """When it was placed."""
        return int(self.record.time_us[0])

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
        words = frozenset(word.strip().lower() for word in d.missing_words)
        self._plain_ids = {
            name: partial(plain_id, form=forms[name], missing_words=words) for name in self._ids
        }
        self._numbers = d.raw_numerical
        self._categories = d.raw_categorical
        self._may_be_missing = {*d.may_be_missing, d.card_id}
        # A column of two roles has one meaning: the category is the id or the number in words.
        self._own_categories = [c for c in self._categories if c not in {*self._ids, *self._numbers}]
        self._seen: dict[Any, Any] = {}
        """Role, type and value → what it was cast to."""
        self._label_delay_us = round(d.label_delay_days * 86_400_000_000)

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[CleanOrder]:
        """Cast orders.

        Args:
            rows: raw columns by name; columns without a role are left aside.

        Raises:
            WrongOrder: a column is missing, or a value is not what its role asks for.
        """
        cast = Cells(rows, self._seen)
        d = self._d
        for column in self._ids:
            form = self._forms[column]
            caster = partial(cast_id, form=form, missing_words=d.missing_words)
            cast.add("id", column, ("id", form), caster, self._plain_ids[column])
        cast.add("time", d.order_time, "time", cast_moment, plain_moment)
        cast.add("label", d.label, "label", lambda raw: cast_label(raw, d.csv.decimal), optional=True)
        if d.label_time is not None:
            cast.add("time", d.label_time, "time", cast_moment, plain_moment, optional=True)
        for column in self._numbers:
            cast.add("number", column, "number", lambda raw: cast_number(raw, d.csv.decimal), plain_number)
        for column in self._own_categories:
            spelling = (column in d.numeric_categorical, column in d.float_categorical)
            caster = partial(as_category, column=column, description=d)
            cast.add("category", column, ("category", spelling), caster)
        values = cast.values()
        for column in (*self._ids, d.order_time, *self._numbers):
            if column not in self._may_be_missing:
                for row, value in enumerate(values[column]):
                    if value is None:
                        remedy = REMEDIES[cast.kinds[column]]
                        raise WrongOrder(row, column, rows[row][column], "missing", remedy)
        self._check_sizes(values, rows)
        self._check_label_times(values, rows)
        for column in self._categories:
            if column not in self._own_categories:
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
        d = self._d
        rows = [dict(zip(("order_id", "label", "known_at"), each, strict=True)) for each in labels]
        cells = Cells(rows, self._seen)
        form = self._forms[d.order_id]
        cells.add("id", "order_id", "id", lambda raw: cast_id(raw, form, d.missing_words))
        cells.add("known label", "label", "label", lambda raw: cast_label(raw, d.csv.decimal))
        cells.add("time", "known_at", "time", cast_moment)
        values = cells.values()
        for name, found in values.items():
            for row, value in enumerate(found):
                if value is None or (name == "label" and value == UNKNOWN_LABEL):
                    raise WrongOrder(row, name, rows[row][name], "missing", REMEDIES[cells.kinds[name]])
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
        texts = [values.get(f"category {name}", values[name])[row] for name in self._categories]
        hashes = [NO_CATEGORY if text is None else hash_text(text, d.fold_text) for text in texts]
        numbers = np.full((1, len(self._numbers) + self._n_derived), np.nan)
        for place, name in enumerate(self._numbers):
            value = values[name][row]
            if value is not None:
                numbers[0, place] = value
        time_us, label = values[d.order_time][row], values[d.label][row]
        told_us = None if d.label_time is None else values[d.label_time][row]
        known_us = time_us + self._label_delay_us if told_us is None else told_us
        ids = [order_id] if isinstance(order_id, int) else np.array([order_id.encode()])
        return CleanOrder(
            order_id,
            (id_bytes(customer), b"" if card is None else id_bytes(card)),
            Records(
                time_us=np.array([time_us], np.int64),
                known_us=np.array([known_us], np.int64),
                label=np.array([UNKNOWN_LABEL if label is None else label], np.int8),
                categories=np.array([hashes], np.uint64).reshape(1, len(hashes)),
                numbers=numbers,
                order_id=np.asarray(ids, np.int64) if isinstance(order_id, int) else np.asarray(ids),
            ),
        )


def early_label(row: int, value: Any) -> WrongOrder:
    """The refusal of a label that is said to be known before its order was placed."""
    return WrongOrder(row, "known_at", value, TOO_EARLY, REMEDIES["label time"])
