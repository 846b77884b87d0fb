"""Kept orders → the batch that a sequence store would make of them, with the store's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tsa_model.batch import ENGINEERED, history_names
from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.codes import Codes
from tsa_model.events.units import MICROSECONDS, UNKNOWN_LABEL
from tsa_model.online.derived import Derivation, DerivedColumns, Past
from tsa_model.online.history import KINDS, KeyKind
from tsa_model.online.records import NO_CATEGORY, Records, hash_text
from tsa_model.sequences import Preprocessing
from tsa_model.sequences.columns.column_files import MemoryColumns
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.sequences.features.derived import (
    add_calendar_columns,
    add_log_columns,
)
from tsa_model.sequences.features.encoding import Encoding, Role
from tsa_model.sequences.store.gather import SequenceGather, SortedEvents
from tsa_model.settings.dataset import DatasetDescription


@dataclass(frozen=True)
class Target:
    """An order and the earlier ones that its score depends on."""

    record: Records
    """One row, the kept derived columns filled in."""
    histories: Mapping[KeyKind, Records]
    """The latest earlier orders of each key, at most L - 1."""
    derived: Mapping[str, float]
    """Every column that is derived from its keys' earlier orders."""

    def history(self, kind: KeyKind) -> dict[str, Any]:
        """How many orders a history has, and how many seconds before this one the latest was placed."""
        found = self.histories[kind]
        newest_us = int(self.record.time_us[0] - found.time_us[-1]) if len(found) else None
        return {"orders": len(found), "newest_s": None if newest_us is None else newest_us / MICROSECONDS}


class InputBuilder:
    """Makes batches from kept orders.

    Args:
        description: the columns' roles.
        fitted: vocabulary, scaler and defaults.
        sequences: the histories that the network reads.
    """

    def __init__(
        self, description: DatasetDescription, fitted: Preprocessing, sequences: SequencesKind
    ) -> None:
        self._d = description
        self.derived = DerivedColumns.of(description)
        self._categories = description.raw_categorical
        self._numbers = (*description.raw_numerical, *self.derived.kept)
        self._largest = _largest(fitted)
        self._of_target = self.derived.names
        self.kinds: tuple[KeyKind, ...] = KINDS if description.card_id is not None else KINDS[:1]
        self._names = history_names(sequences)
        self._encoding = Encoding(fitted)
        self._n_engineered = len(fitted.engineered)
        self._gather = SequenceGather(description, fitted)
        self._derivation = Derivation(description, self.derived, self._orders)
        self._texts = [
            {hash_text(text, description.fold_text): text for text in fitted.categorical[name].values}
            if name in fitted.categorical
            else {}
            for name in self._categories
        ]

    def derive(self, past: Past, target: Records, latest: Records) -> dict[str, float]:
        """The target's columns that are derived from one key's earlier orders; see `Derivation`."""
        return self._derivation(past, target, latest)

    def with_kept(self, record: Records, derived: Mapping[str, float]) -> Records:
        """A record with the kept ones of its derived columns."""
        if not self.derived.kept:
            return record
        numbers = record.numbers.copy()
        for place, name in enumerate(self.derived.kept, len(self._numbers) - len(self.derived.kept)):
            if name in derived:
                numbers[0, place] = derived[name]
        return replace(record, numbers=numbers)

    def check(self, target: Target) -> None:
        """Refuse an order with a number that is infinite once it is scaled, before anything keeps it.

        Raises:
            BadEvents: there is one.
        """
        if self.is_large(target.record) or any(abs(v) > self._largest for v in target.derived.values()):
            self.batch([target])

    def needs_histories(self, record: Records) -> bool:
        """Whether more than the raw order is needed to keep it: sequences hold derived columns of it."""
        return bool(self.derived.kept) or self.is_large(record)

    def is_large(self, record: Records) -> bool:
        """Whether an order holds a number that may be infinite once it is scaled."""
        return any(abs(value) > self._largest for value in record.numbers[0].tolist())

    def batch(self, targets: Sequence[Target]) -> dict[str, np.ndarray]:
        """The batch of some orders, the tensors that `SequenceStore.batch` would make of them.

        Args:
            targets: [B] orders with their histories.
        """
        parts: list[Records] = []
        labels: list[np.ndarray] = []
        places = {kind: np.empty((3, len(targets)), np.int64) for kind in self.kinds}
        n_rows = 0
        for column, target in enumerate(targets):
            for kind in self.kinds:
                history = target.histories[kind]
                parts.append(history)
                labels.append(_known_labels(history, target.record.time_us[0]))
                places[kind][1:, column] = n_rows, n_rows + len(history)
                n_rows += len(history)
            parts.append(target.record)
            labels.append(target.record.label)
            for kind in self.kinds:
                places[kind][0, column] = n_rows
            n_rows += 1
        # Even an empty history has a dtype for ids, which must not decide that of the others.
        table = Records.joined(parts)
        orders = self._orders(table, np.concatenate(labels))
        add_calendar_columns(orders, self._d, MemoryColumns())
        add_log_columns(orders, self._d, MemoryColumns())
        categorical, numerical = self._matrix("categorical", orders), self._matrix("numerical", orders)
        time_us, label = np.append(orders.time_us, 0), np.append(orders.label, np.int8(UNKNOWN_LABEL))
        known_us = np.append(table.known_us, 0) if self._d.label_time is not None else None
        now_us = np.concatenate([target.record.time_us for target in targets])
        rows = np.arange(len(targets))
        batch: dict[str, np.ndarray] = {}
        for kind, names in zip(self.kinds, self._names, strict=False):
            position, start, end = places[kind]
            events = SortedEvents(categorical, numerical, time_us, label, position, start, end, known_us)
            batch |= zip(names, self._gather(events, rows, now_us), strict=True)
        if self._n_engineered:
            batch[ENGINEERED] = self._engineered(targets)
        return batch

    def _engineered(self, targets: Sequence[Target]) -> np.ndarray:
        table = Records.joined([target.record for target in targets])
        orders = self._orders(table, table.label)
        for name in self._of_target:
            values = np.array([target.derived[name] for target in targets])
            orders.numerical.add(name, partial(_itself, values))
        add_calendar_columns(orders, self._d, MemoryColumns())
        add_log_columns(orders, self._d, MemoryColumns())
        return self._matrix("engineered", orders)[:-1]

    def _matrix(self, role: Role, orders: Orders) -> np.ndarray:
        """Encoded columns side by side, and a row of zeros."""
        names = self._encoding.names(role, orders)
        matrix = np.zeros((len(orders) + 1, len(names)), self._encoding.dtype(role))
        for place, name in enumerate(names):
            matrix[:-1, place] = self._encoding.column(role, orders, name)
        return matrix

    def _orders(self, records: Records, label: np.ndarray) -> Orders:
        """Records as the columns that a log would be."""
        orders = Orders(order_id=records.order_id, time_us=records.time_us, label=label)
        for place, name in enumerate(self._categories):
            orders.categorical.add(name, partial(self._codes, place, records.categories[:, place]))
        for place, name in enumerate(self._numbers):
            orders.numerical.add(name, partial(_itself, records.numbers[:, place]))
        return orders

    def _codes(self, column: int, hashes: np.ndarray) -> Codes:
        number: dict[int, int] = {}
        code = [
            -1 if each == NO_CATEGORY else number.setdefault(each, len(number)) for each in hashes.tolist()
        ]
        texts = self._texts[column]
        # A text that the vocabulary lacks is unknown to the model, whatever it says.
        return Codes(np.array(code, np.int32), [texts.get(each, f"\x00{each}") for each in number])


def _largest(fitted: Preprocessing) -> float:
    """A size up to which no number overflows, whatever its column."""
    scalers = [*fitted.numerical.values(), *fitted.engineered.values()]
    steepest = max((abs(scaler.scale) for scaler in scalers), default=1.0)
    return (1e38 - max((abs(scaler.min) for scaler in scalers), default=0.0)) / max(steepest, 1e-30)


def _itself(values: Any) -> Any:
    return values


def _known_labels(records: Records, now_us: int) -> np.ndarray:
    """Labels as far as they count at a moment."""
    return np.where(records.known_us <= now_us, records.label, np.int8(UNKNOWN_LABEL))
