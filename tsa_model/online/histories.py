"""Raw orders and labels into a history store, and out of it what a score is made from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.ids import IdForm, id_columns
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.online.derived import Past
from tsa_model.online.history import (
    Contradiction,
    Entry,
    HistoryError,
    HistoryStore,
    KeyKind,
    Transaction,
    UnknownOrder,
)
from tsa_model.online.id_forms import id_forms_of
from tsa_model.online.inputs import InputBuilder, Target
from tsa_model.online.labels import count_label
from tsa_model.online.orders import CleanOrder, OrderReader, early_label
from tsa_model.online.records import Records
from tsa_model.online.refreshing import refresh
from tsa_model.online.requirements import check_fits, columns_of
from tsa_model.sequences import Preprocessing
from tsa_model.settings.dataset import DatasetDescription

T = TypeVar("T")


class Answer(Protocol):
    """What an order was answered."""

    def packed(self) -> bytes:
        """As it is kept."""


A = TypeVar("A", bound=Answer)


class Histories:
    """The earlier orders of customers and cards; may be used by several threads at once.

    Args:
        description: the columns' roles.
        fitted: vocabulary, scaler and defaults.
        sequences: the histories that the network reads.
        store: where the orders are kept.

    Raises:
        HistoryError: the store was made for other columns.
    """

    def __init__(
        self,
        description: DatasetDescription,
        fitted: Preprocessing,
        sequences: SequencesKind,
        store: HistoryStore,
    ) -> None:
        self.description, self.store = description, store
        check_fits(store.columns, columns_of(description))
        self.inputs = InputBuilder(description, fitted, sequences)
        self._most_back = {kind: self.inputs.derived.most_back(kind) for kind in self.inputs.kinds}
        self._n_raw = len(description.raw_numerical)
        self._label_times = store.columns.has_label_times
        self._reader: OrderReader | None = None
        self._request = threading.local()
        """How the ids of the request of each thread are read, as long as the store does not know it."""

    def add(self, orders: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Record orders without scoring them, all or none; returns how many were new.

        Raises:
            ValueError: as `score_many`.
        """
        clean = self.read([orders] if isinstance(orders, Mapping) else orders)

        def add(transaction: Transaction) -> int:
            n_new = 0
            transaction.expect((order.name, order.keys) for order in clean)
            for order in _by_time(clean):
                if (entry := transaction.entry(order.name)) is not None:
                    self._compare(transaction, entry, order)
                    continue
                is_enough = not self.inputs.needs_histories(order.record)
                record = order.record if is_enough else self._target(transaction, order).record
                self._record(transaction, order, record)
                n_new += 1
            return n_new

        return self._recorded(add)

    def add_labels(self, labels: Sequence[tuple[Any, Any, Any]]) -> None:
        """Record labels, all or none.

        A label counts from its own moment where the description has a `label_time`, else from the later of
        that and the order's time + `label_delay_days`.

        Args:
            labels: order id, 0 or 1, and the moment at which it became known.

        Raises:
            UnknownOrder: no such order is kept.
            WrongOrder: a value is none.
        """
        reader = self._reader_for([])
        clean = reader.read_labels(labels)

        def add(transaction: Transaction) -> None:
            transaction.expect((name, (b"", b"")) for _, name, _, _ in clean)
            for row, (order_id, name, label, at_us) in enumerate(clean):
                if (entry := transaction.entry(name)) is None:
                    raise UnknownOrder(
                        f"order {order_id!r} is not kept: it was never sent, or no history needs it any more"
                    )
                if self.store.columns.has_label_times and at_us < entry.time_us:
                    raise early_label(row, labels[row][2])
                self._set_label(transaction, entry, name, label, at_us)

        self._recorded(add)

    def read(self, orders: Sequence[Mapping[str, Any]]) -> list[CleanOrder]:
        """Cast raw orders; see `OrderReader.read`."""
        return self._reader_for(orders).read(orders)

    def tensors(self, orders: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The batch of raw orders over the histories as they are now; nothing is recorded."""
        return self.inputs.batch(self.targets(orders))

    def targets(self, orders: Sequence[Mapping[str, Any]]) -> list[Target]:
        """Raw orders with their histories as they are now; nothing is recorded."""
        clean = self.read(orders)

        def look_up(transaction: Transaction) -> list[Target]:
            transaction.expect((order.name, order.keys) for order in clean)
            return [self._target(transaction, order) for order in clean]

        return self.store.read(look_up)

    def look_up(
        self, orders: Sequence[CleanOrder], answering: Callable[[list[Target]], list[A]] | None = None
    ) -> tuple[dict[bytes, bytes], dict[bytes, Target], dict[bytes, A]]:
        """Record orders, all or none, with their answers: none is kept that was recorded and not answered.

        Args:
            orders: to record; an order may be among them twice.
            answering: answers those that were not answered before; what it raises undoes all. It may be asked
                again. None = nothing is answered.

        Returns:
            What was answered before, by the orders' names; what the others are scored by; and their answers.
        """

        def look_up(
            transaction: Transaction,
        ) -> tuple[dict[bytes, bytes], dict[bytes, Target], dict[bytes, A]]:
            earlier: dict[bytes, bytes] = {}
            targets: dict[bytes, Target] = {}
            transaction.expect((order.name, order.keys) for order in orders)
            # Of orders in the sequence of their times, none changes the history of one before it.
            for order in _by_time(orders):
                name = order.name
                entry = transaction.entry(name)
                if entry is not None:
                    self._compare(transaction, entry, order)
                if entry is not None and entry.answer:
                    earlier[name] = entry.answer
                    continue
                targets[name] = self._target(transaction, order)
                if entry is None:
                    self._record(transaction, order, targets[name].record)
            if answering is None or not targets:
                return earlier, targets, {}
            answers = dict(zip(targets, answering(list(targets.values())), strict=True))
            for name, answer in answers.items():
                if (entry := transaction.entry(name)) is not None:
                    transaction.put_entry(name, entry.answered(answer.packed()))
            return earlier, targets, answers

        return self._recorded(look_up)

    def _record(self, transaction: Transaction, order: CleanOrder, record: Records) -> None:
        """Keep an order that is new."""
        kept = sum(1 << place for place, key in enumerate(order.keys) if key)
        for kind, key in zip(self.inputs.kinds, order.keys, strict=False):
            if key:
                transaction.insert(kind, key, record)
                count_label(transaction, kind, key, record)
        entry = Entry(order.time_us, order.keys, order.content(self._n_raw), kept)
        transaction.put_entry(order.name, entry)
        until_us = max(order.time_us, int(record.known_us[0])) if self._label_times else order.time_us
        refresh(transaction, self.inputs, entry, self.inputs.derived.renewed_us, order.time_us, until_us)

    def _compare(self, transaction: Transaction, entry: Entry, order: CleanOrder) -> None:
        """Refuse another order of the same id; a label that is new is taken."""
        record, label = self._kept(transaction, entry, order), int(order.record.label[0])
        known = UNKNOWN_LABEL if record is None else int(record.label[0])
        content = order.content(self._n_raw)
        if entry.content != content or (label != UNKNOWN_LABEL and known not in (UNKNOWN_LABEL, label)):
            raise Contradiction(
                f"order {order.order_id!r} was sent before with other values, and which are right is not "
                "known: an order's values do not change; its label is sent by itself"
            )
        if record is not None and label != known and label != UNKNOWN_LABEL:
            self._set_label(transaction, entry, order.name, label, int(order.record.known_us[0]))

    def _kept(self, transaction: Transaction, entry: Entry, order: CleanOrder | bytes) -> Records | None:
        """The record of an order, from the first history that still holds it."""
        for place, kind in enumerate(self.inputs.kinds):
            if entry.kept & (1 << place):
                found = transaction.later(kind, entry.keys[place], entry.time_us - 1, entry.time_us)
                name = order if isinstance(order, bytes) else order.name
                at = found.named(name)
                if at is not None:
                    return found.take(slice(at, at + 1))
        return None

    def _target(self, transaction: Transaction, order: CleanOrder) -> Target:
        """An order with its histories and derived columns."""
        record, latest = order.record, self.description.seq_len - 1
        histories: dict[KeyKind, Records] = {}
        derived: dict[str, float] = {}
        for kind, key in zip(self.inputs.kinds, order.keys, strict=False):
            past = Past(transaction, kind, key, order.time_us)
            found = past.latest(max(latest, self._most_back[kind]), self.inputs.none)
            derived |= self.inputs.derive(past, record, found)
            histories[kind] = found.last(latest)
        target = Target(self.inputs.with_kept(record, derived), histories, derived)
        self.inputs.check(target)
        return target

    def _set_label(self, transaction: Transaction, entry: Entry, name: bytes, label: int, at_us: int) -> None:
        record = self._kept(transaction, entry, name)
        if record is None:
            return
        due_us = entry.time_us + self.store.columns.label_delay_us
        known_us = at_us if self._label_times else max(at_us, due_us)
        changed = replace(record, label=np.array([label], np.int8), known_us=np.array([known_us], np.int64))
        for kind, key in zip(self.inputs.kinds, entry.keys, strict=False):
            if key:
                count_label(transaction, kind, key, record, is_gone=True)
                transaction.replace(kind, key, changed)
                count_label(transaction, kind, key, changed)
        moments = [known_us] + ([] if record.label[0] == UNKNOWN_LABEL else [int(record.known_us[0])])
        since_us = max(entry.time_us, min(moments) - 1)
        until_us = max(moments) if self._label_times else entry.time_us
        refresh(transaction, self.inputs, entry, self.inputs.derived.relabelled_us, since_us, until_us)

    def _reader_for(self, orders: Sequence[Mapping[str, Any]]) -> OrderReader:
        if self._reader is not None:
            return self._reader
        stored = self.store.columns.is_whole
        is_whole = id_forms_of(orders, self.description) | stored
        if not is_whole:
            raise UnknownOrder("the history store holds no orders yet")
        columns = id_columns(self.description)
        # Where no order had such an id yet, it does not matter how one would be read.
        folded = self.description.fold_keys
        forms = {name: IdForm(is_whole.get(name, True), is_folded=name in folded) for name in columns}
        derived = self.inputs.derived
        summed = {*derived.summed(), *derived.fraud_summed()}
        reader = OrderReader(self.description, forms, len(derived.kept), summed)
        if set(stored) == set(columns):
            self._reader = reader
        self._request.is_whole = is_whole
        return reader

    def _recorded(self, work: Callable[[Transaction], T]) -> T:
        """Work done in the store; ids are read from now on as those of its orders, which were not refused."""
        is_whole: dict[str, bool] = self._request.__dict__.pop("is_whole", {})

        def with_forms(transaction: Transaction) -> T:
            stored = transaction.columns.is_whole
            if is_whole.keys() - stored.keys():
                if any(is_whole.get(name, each) != each for name, each in stored.items()):
                    raise HistoryError("another order said in the meantime how ids are read: send it again")
                transaction.set_forms(stored | is_whole)
            return work(transaction)

        return self.store.write(with_forms)


def _by_time(orders: Sequence[CleanOrder]) -> list[CleanOrder]:
    return sorted(orders, key=lambda order: order.time_us)
