"""`OnlineScorer`: an order is looked up, scored and recorded, by the batch's own steps."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsa_model.batch import sequences_of
from tsa_model.events.casting import cast_moment
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.online.history import KINDS, Columns, Entry, HistoryError, HistoryStore, Transaction
from tsa_model.online.inputs import DerivedColumns, InputBuilder, Target
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.orders import CleanOrder, OrderReader, WrongOrder, id_forms_of
from tsa_model.online.records import Records
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import Preprocessing
from tsa_model.settings.dataset import DatasetDescription

LATE_DAYS = 7.0
"""How much later than a younger order of its customer or card an order may come, unless it is said otherwise."""


class Contradiction(ValueError):
    """An order id was sent before with another content."""


class UnknownOrder(ValueError):
    """No order of that id is kept."""


@dataclass(frozen=True)
class Scored:
    """An answer."""

    order_id: int | str
    score: float
    """In [0, 1]."""
    percentile: float | None
    """Among the calibration period's scores; None without a percentile map."""
    calibrated_probability: float | None
    """None without a calibrator."""
    model_digest: str
    """SHA-256 of the ONNX file."""
    gate_id: str
    """The equivalence gate's verdict."""
    history: dict[str, int]
    """Earlier orders that the score was made from: of the customer and of the card."""
    repeated: bool = False
    """The order was sent before; this is the answer that was given then."""


def columns_of(description: DatasetDescription, late_days: float = LATE_DAYS) -> Columns:
    """What a store must keep for a model of this description.

    Raises:
        HistoryError: its orders are wide rows, which carry their own histories.
    """
    if description.layout == "wide":
        raise HistoryError("orders of the wide layout carry their own histories: no store is needed for them")
    derived = DerivedColumns.of(description)
    return Columns(
        order_id=description.order_id,
        customer_id=description.customer_id,
        card_id=description.card_id,
        categorical=description.raw_categorical,
        numerical=description.raw_numerical,
        derived=derived.kept,
        windows=tuple(each for each in description.windows if set(each.columns()) & set(derived.kept)),
        label_delay_us=round(description.label_delay_days * 86_400_000_000),
        latest=description.seq_len - 1,
        reach_us=max(derived.reach_us.values()),
        late_us=round(late_days * 86_400_000_000),
    )


class OnlineScorer:
    """Scores raw orders one by one; may be used by several threads at once.

    Args:
        model: an opened model folder.
        store: the earlier orders.

    Raises:
        HistoryError: the store was made for other columns.
    """

    def __init__(self, model: ScoringModel, store: HistoryStore) -> None:
        self.model, self.store = model, store
        self.description = model.dataset
        _check_fits(store.columns, columns_of(self.description))
        fitted = Preprocessing.load(model.preprocessing_path)
        self.inputs = InputBuilder(self.description, fitted, sequences_of(model.session.input_names))
        self._n_raw = len(self.description.raw_numerical)
        self._percentiles, self._calibrator = model.percentiles(), model.calibrator()
        self._reader: OrderReader | None = None
        self._writing = threading.Lock()

    @classmethod
    def open(
        cls, model_dir: str | Path, store_dir: str | Path, late_days: float = LATE_DAYS, sync: bool = False
    ) -> OnlineScorer:
        """Open a model folder and the LMDB store in a folder, which is made where there is none.

        Args:
            model_dir: the model folder.
            store_dir: the history store.
            late_days: of a store that is made.
            sync: wait for the disk before an order is acknowledged; see `LmdbStore`.
        """
        model, folder = ScoringModel.load(model_dir), Path(store_dir)
        if folder.exists() and any(folder.iterdir()):
            return cls(model, LmdbStore(folder, sync))
        return cls(model, LmdbStore.create(folder, columns_of(model.dataset, late_days), sync))

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def score(self, order: Mapping[str, Any]) -> Scored:
        """Look an order's histories up, score it and record it; see `score_many`."""
        return self.score_many([order])[0]

    def score_many(self, orders: Sequence[Mapping[str, Any]]) -> list[Scored]:
        """Score raw orders and record them, all or none.

        An order that was scored before gets the same answer again.

        Args:
            orders: raw columns by name; the label may be left out.

        Returns:
            The answers, in the orders' sequence.

        Raises:
            WrongOrder: a value is not what the data set's contract asks for.
            Contradiction: an order id was sent before with another content.
            TooOld: the histories of an order's time are no longer whole.
            StoreAway: the store cannot be read or written.
        """
        clean = self.read(orders)
        answers, targets = self._recorded(clean)
        if targets:
            outputs = self.run(self.inputs.batch(list(targets.values())))
            answers |= self._answered(targets, outputs)
        return [answers[order.name] for order in clean]

    def add(self, orders: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Record orders without scoring them, all or none; returns how many were new.

        Raises:
            ValueError: as `score_many`.
        """
        clean = self.read([orders] if isinstance(orders, Mapping) else orders)
        with self._writing, self.store.writing() as transaction:
            n_new = 0
            for order in _by_time(clean):
                if (entry := transaction.entry(order.name)) is not None:
                    self._compare(transaction, entry, order)
                    continue
                self._record(transaction, order, self._target(transaction, order).record)
                n_new += 1
        return n_new

    def add_label(self, order_id: Any, label: Any, at: Any) -> None:
        """Record the label of an order; see `add_labels`."""
        self.add_labels([(order_id, label, at)])

    def add_labels(self, labels: Sequence[tuple[Any, Any, Any]]) -> None:
        """Record labels, all or none.

        A label counts from the later of its own moment and the order's time + `label_delay_days`.

        Args:
            labels: order id, 0 or 1, and the moment at which it became known.

        Raises:
            UnknownOrder: no such order is kept.
            WrongOrder: a value is none.
        """
        reader = self._reader_for(None)
        clean = [reader.read_label(row, *each) for row, each in enumerate(labels)]
        with self._writing, self.store.writing() as transaction:
            for order_id, name, label, at_us in clean:
                if (entry := transaction.entry(name)) is None:
                    raise UnknownOrder(
                        f"order {order_id!r} is not kept: it was never sent, or no history needs it any more"
                    )
                self._set_label(transaction, entry, name, label, at_us)

    def read(self, orders: Sequence[Mapping[str, Any]]) -> list[CleanOrder]:
        """Cast raw orders; see `OrderReader.read`."""
        return self._reader_for(orders[0] if orders else None).read(orders)

    def target(self, order: CleanOrder) -> Target:
        """An order with its histories as they are now; nothing is recorded."""
        with self.store.reading() as transaction:
            return self._target(transaction, order)

    def run(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model's outputs for a batch.

        Raises:
            ValueError: a score is not a number in [0, 1].
        """
        outputs = self.model.session.run(batch)
        score = outputs["score"]
        if not ((score >= 0) & (score <= 1)).all():
            raise ValueError("a score is not a number in [0, 1]: look for extreme numbers in the order")
        return outputs

    def _reader_for(self, first: Mapping[str, Any] | None) -> OrderReader:
        if self._reader is None:
            if self.store.columns.is_whole is None:
                if first is None:
                    raise UnknownOrder("the history store holds no orders yet")
                self.store.set_forms(id_forms_of(first, self.description))
            forms = self.store.columns.forms
            assert forms is not None
            self._reader = OrderReader(self.description, forms, len(self.inputs.derived.kept))
        return self._reader

    def _recorded(self, orders: Sequence[CleanOrder]) -> tuple[dict[bytes, Scored], dict[bytes, Target]]:
        """Record orders; return the answers that were given before, and what the others are scored by."""
        answers, targets = {}, {}
        with self._writing, self.store.writing() as transaction:
            # Of orders in the sequence of their times, none changes the history of one before it.
            for order in _by_time(orders):
                entry = transaction.entry(order.name)
                if entry is not None:
                    self._compare(transaction, entry, order)
                if entry is not None and entry.answer:
                    answers[order.name] = replace(Scored(**json.loads(entry.answer)), repeated=True)
                    continue
                targets[order.name] = self._target(transaction, order)
                if entry is None:
                    self._record(transaction, order, targets[order.name].record)
        return answers, targets

    def _record(self, transaction: Transaction, order: CleanOrder, record: Records) -> None:
        """Keep an order that is new."""
        kept = sum(1 << place for place, key in enumerate(order.keys) if key)
        for kind, key in zip(self.inputs.kinds, order.keys, strict=False):
            if key:
                transaction.insert(kind, key, record)
        transaction.put_entry(
            order.name, Entry(order.time_us, order.keys, order.content(self._n_raw), kept)
        )
        self._refresh(transaction, order.keys, order.time_us, order.time_us)

    def _compare(self, transaction: Transaction, entry: Entry, order: CleanOrder) -> None:
        """Refuse another order of the same id; a label that is new is taken."""
        record, label = self._kept(transaction, entry, order), int(order.record.label[0])
        known = UNKNOWN_LABEL if record is None else int(record.label[0])
        content = order.content(self._n_raw)
        if entry.content != content or (label != UNKNOWN_LABEL and known not in (UNKNOWN_LABEL, label)):
            raise Contradiction(
                f"order {order.order_id!r} was sent before with other values, and which are right is unknown: "
                "an order's values do not change; its label is sent to /labels"
            )
        if record is not None and label != known and label != UNKNOWN_LABEL:
            self._set_label(transaction, entry, order.name, label, order.time_us)

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
        record = order.record
        latest, reach_us = self.description.seq_len - 1, self.inputs.derived.reach_us
        histories, derived = {}, {}
        for kind, key in zip(self.inputs.kinds, order.keys, strict=False):
            if key:
                found = transaction.earlier(kind, key, order.time_us, latest, reach_us[kind])
            else:
                found = record.take(slice(0, 0))
            derived |= self.inputs.derive(kind, found, record)
            histories[kind] = found.take(slice(max(0, len(found) - latest), len(found)))
        return Target(self.inputs.with_kept(record, derived), histories, derived)

    def _refresh(
        self, transaction: Transaction, keys: tuple[bytes, bytes], since_us: int, from_us: int
    ) -> None:
        """Derive the kept columns of younger orders anew, where an order or label came late.

        Args:
            transaction: to write in.
            keys: of the order that came late.
            since_us: its time.
            from_us: from when on it changes anything.
        """
        derived = self.inputs.derived
        for place, kind in enumerate(self.inputs.kinds):
            key = keys[place]
            if not key or not set(derived.by_key[kind]) & set(derived.kept):
                continue
            younger = transaction.later(kind, key, max(since_us, from_us - 1), since_us + derived.reach_us[kind])
            for row in range(len(younger)):
                record = younger.take(slice(row, row + 1))
                earlier = transaction.earlier(kind, key, int(record.time_us[0]), 0, derived.reach_us[kind])
                renewed = self.inputs.with_kept(record, self.inputs.derive(kind, earlier, record))
                entry = transaction.entry(record.name())
                owners = entry.keys if entry is not None else keys
                for each, owner in zip(self.inputs.kinds, owners, strict=False):
                    if owner:
                        transaction.replace(each, owner, renewed)

    def _set_label(
        self, transaction: Transaction, entry: Entry, name: bytes, label: int, at_us: int
    ) -> None:
        record = self._kept(transaction, entry, name)
        if record is None:
            return
        known_us = max(at_us, entry.time_us + self.store.columns.label_delay_us)
        changed = replace(
            record, label=np.array([label], np.int8), known_us=np.array([known_us], np.int64)
        )
        for kind, key in zip(self.inputs.kinds, entry.keys, strict=False):
            if key:
                transaction.replace(kind, key, changed)
        self._refresh(transaction, entry.keys, entry.time_us, known_us)

    def _answered(
        self, targets: Mapping[bytes, Target], outputs: Mapping[str, np.ndarray]
    ) -> dict[bytes, Scored]:
        """Note the answers; where another request was quicker, its answer stands."""
        fresh = dict(zip(targets, self._scored(list(targets.values()), outputs["score"]), strict=True))
        answers = {}
        with self._writing, self.store.writing() as transaction:
            for name, scored in fresh.items():
                entry = transaction.entry(name)
                if entry is not None and entry.answer:
                    answers[name] = replace(Scored(**json.loads(entry.answer)), repeated=True)
                    continue
                if entry is not None:
                    text = json.dumps(vars(scored), separators=(",", ":"))
                    transaction.put_entry(name, entry.answered(text.encode()))
                answers[name] = scored
        return answers

    def _scored(self, targets: Sequence[Target], score: np.ndarray) -> list[Scored]:
        percentile = None if self._percentiles is None else self._percentiles.percentile(score)
        probability = None if self._calibrator is None else self._calibrator.probability(score)
        described = self.model.description
        return [
            Scored(
                order_id=target.record.id(),
                score=float(score[row]),
                percentile=None if percentile is None else float(percentile[row]),
                calibrated_probability=None if probability is None else float(probability[row]),
                model_digest=described.onnx_sha256,
                gate_id=described.verdict_id,
                history={_WHOSE[kind]: len(found) for kind, found in target.histories.items()},
            )
            for row, target in enumerate(targets)
        ]


_WHOSE = {"cid": "customer", "ccid": "card"}


def _by_time(orders: Sequence[CleanOrder]) -> list[CleanOrder]:
    return sorted(orders, key=lambda order: order.time_us)


def _check_fits(kept: Columns, wanted: Columns) -> None:
    free = {"late_us", "is_whole"}
    for name in Columns.model_fields:
        have, need = getattr(kept, name), getattr(wanted, name)
        if name in free or have == need or (name in ("latest", "reach_us") and have >= need):
            continue
        raise HistoryError(
            f"the history store was made with {name} {have!r}, the model needs {need!r}: load a store for it"
        )
