"""Kept orders → the batch that a sequence store would make of them, with the store's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsa_model.batch import ENGINEERED, history_names
from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.units import MICROSECONDS, UNKNOWN_LABEL
from tsa_model.online.derivation import Derivation
from tsa_model.online.derived import DerivedColumns, Past
from tsa_model.online.encoded import EncodedCategories, EncodedNumbers, known_labels
from tsa_model.online.history import KINDS, KeyKind
from tsa_model.online.records import Records
from tsa_model.sequences import Preprocessing
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
        self._numbers = (*description.raw_numerical, *self.derived.kept)
        self._largest = _largest(fitted)
        self._of_target = self.derived.names
        self.kinds: tuple[KeyKind, ...] = KINDS if description.card_id is not None else KINDS[:1]
        self._names = history_names(sequences)
        self._gather = SequenceGather(description, fitted)
        self._derivation = Derivation(description, self.derived)
        self._categorical = EncodedCategories(description, fitted)
        self._numerical = EncodedNumbers("numerical", description, fitted, self._numbers)
        self._engineered = None
        if fitted.engineered:
            given = (*self._numbers, *self._of_target)
            self._engineered = EncodedNumbers("engineered", description, fitted, given)

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
                labels.append(known_labels(history, target.record.time_us[0]))
                places[kind][1:, column] = n_rows, n_rows + len(history)
                n_rows += len(history)
            parts.append(target.record)
            labels.append(target.record.label)
            for kind in self.kinds:
                places[kind][0, column] = n_rows
            n_rows += 1
        # Even an empty history has a dtype for ids, which must not decide that of the others.
        table = Records.joined(parts)
        categorical, numerical = self._categorical(table), self._numerical(table.numbers, table)
        time_us = np.append(table.time_us, 0)
        label = np.append(np.concatenate(labels), np.int8(UNKNOWN_LABEL))
        known_us = np.append(table.known_us, 0) if self._d.label_time is not None else None
        now_us = np.concatenate([target.record.time_us for target in targets])
        rows = np.arange(len(targets))
        batch: dict[str, np.ndarray] = {}
        for kind, names in zip(self.kinds, self._names, strict=False):
            position, start, end = places[kind]
            events = SortedEvents(categorical, numerical, time_us, label, position, start, end, known_us)
            batch |= zip(names, self._gather(events, rows, now_us), strict=True)
        if self._engineered is not None:
            table = Records.joined([target.record for target in targets])
            derived = np.array([[target.derived[name] for name in self._of_target] for target in targets])
            given = np.concatenate([table.numbers, derived], axis=1)
            batch[ENGINEERED] = self._engineered(given, table)[:-1]
        return batch


def _largest(fitted: Preprocessing) -> float:
    """A size up to which no number overflows, whatever its column."""
    scalers = [*fitted.numerical.values(), *fitted.engineered.values()]
    steepest = max((abs(scaler.scale) for scaler in scalers), default=1.0)
    return (1e38 - max((abs(scaler.min) for scaler in scalers), default=0.0)) / max(steepest, 1e-30)
