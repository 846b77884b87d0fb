"""Kept orders → the batch that a sequence store would make of them, with the store's own functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsa_model.batch import ENGINEERED, history_names
from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.units import MICROSECONDS, UNKNOWN_LABEL
from tsa_model.online.derivation import Derivation
from tsa_model.online.derived import DerivedColumns, Past
from tsa_model.online.encoded import EncodedCategories, EncodedNumbers
from tsa_model.online.history import KINDS, KeyKind
from tsa_model.online.records import NO_CATEGORY, Records, no_records
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
        n_categories, n_numbers = len(description.raw_categorical), len(self._numbers)
        self.none = no_records(n_categories, n_numbers)
        """No orders."""
        moment, label = np.zeros(1, np.int64), np.array([UNKNOWN_LABEL], np.int8)
        hashes, numbers = np.full((1, n_categories), NO_CATEGORY, np.uint64), np.zeros((1, n_numbers))
        self._padding = (moment, moment, label, hashes, numbers)
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
        if self.is_large(target.record) or self._is_any_large(target.derived.values()):
            self.batch([target])

    def needs_histories(self, record: Records) -> bool:
        """Whether more than the raw order is needed to keep it: sequences hold derived columns of it."""
        return bool(self.derived.kept) or self.is_large(record)

    def is_large(self, record: Records) -> bool:
        """Whether an order holds a number that may be infinite once it is scaled."""
        return self._is_any_large(record.numbers[0].tolist())

    def _is_any_large(self, values: Iterable[float]) -> bool:
        return any(map(self._largest.__lt__, map(abs, values)))

    def batch(self, targets: Sequence[Target]) -> dict[str, np.ndarray]:
        """The batch of some orders, the tensors that `SequenceStore.batch` would make of them.

        Args:
            targets: [B] orders with their histories.
        """
        parts: list[Records] = []
        lengths: list[int] = []
        n_rows, n_targets = 0, len(targets)
        places = np.empty((3, len(self.kinds) * n_targets), np.int64)
        for column, target in enumerate(targets):
            first = n_rows
            for at, kind in enumerate(self.kinds):
                history = target.histories[kind]
                parts.append(history)
                places[1:, at * n_targets + column] = n_rows, n_rows + len(history)
                n_rows += len(history)
            parts.append(target.record)
            places[0, column::n_targets] = n_rows
            n_rows += 1
            lengths.append(n_rows - first)
        now_us = np.array([target.record.time_us[0] for target in targets])
        events = self._events(parts, places, now_us.repeat(lengths))
        # Both keys' sequences at once, one after the other: they are gathered from the same rows.
        now_us = np.concatenate([now_us] * len(self.kinds))
        gathered = self._gather(events, np.arange(len(now_us)), now_us)
        batch: dict[str, np.ndarray] = {}
        for at, names in enumerate(self._names[: len(self.kinds)]):
            of_key = slice(at * n_targets, (at + 1) * n_targets)
            batch |= zip(names, (each[of_key] for each in gathered), strict=True)
        if self._engineered is not None:
            batch[ENGINEERED] = self._engineered_of(targets)
        return batch

    def _events(self, parts: list[Records], places: np.ndarray, now_us: np.ndarray) -> SortedEvents:
        """What sequences are gathered from; the row that stands for padding comes last.

        Args:
            parts: [N] orders together.
            places: positions of the targets, then where their histories start and end, [3, sequences].
            now_us: [N] int64, the moment of the target that each order stands for.
        """
        # Even an empty history has a dtype for ids, which must not decide that of the others.
        padding = Records(*self._padding, parts[-1].order_id[:1])
        table = Records.joined([*parts, padding])
        categorical, numerical = self._categorical(table), self._numerical(table.numbers, table)
        categorical[-1], numerical[-1] = 0, 0.0
        label = table.label.copy()
        label[:-1][table.known_us[:-1] > now_us] = UNKNOWN_LABEL
        known_us = table.known_us if self._d.label_time is not None else None
        position, start, end = places
        return SortedEvents(categorical, numerical, table.time_us, label, position, start, end, known_us)

    def _engineered_of(self, targets: Sequence[Target]) -> np.ndarray:
        assert self._engineered is not None
        table = Records.joined([target.record for target in targets])
        derived = [[target.derived[name] for name in self._of_target] for target in targets]
        return self._engineered(np.concatenate([table.numbers, np.array(derived)], axis=1), table)


def _largest(fitted: Preprocessing) -> float:
    """A size up to which no number overflows, whatever its column."""
    scalers = [*fitted.numerical.values(), *fitted.engineered.values()]
    steepest = max((abs(scaler.scale) for scaler in scalers), default=1.0)
    return (1e38 - max((abs(scaler.min) for scaler in scalers), default=0.0)) / max(steepest, 1e-30)
