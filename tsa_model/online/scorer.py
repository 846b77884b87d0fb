"""`OnlineScorer`: an order is looked up, scored and recorded, by the batch's own steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tsa_model.batch import sequences_of
from tsa_model.online.digests import digests_of
from tsa_model.online.histories import Histories
from tsa_model.online.history import HistoryError, HistoryStore
from tsa_model.online.inputs import Target
from tsa_model.online.requirements import LATE_DAYS, columns_of
from tsa_model.online.stores import open_or_create
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import Preprocessing

_WHOSE = {"cid": "customer", "ccid": "card"}
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


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
    history: dict[str, dict[str, Any]]
    """`customer` and `card` → earlier `orders` that the score was made from, and `newest_s`, the seconds from
    the latest of them to this order; None without one."""
    inputs_digest: str = ""
    """Of the tensors that the score was computed from, see `digests_of`; empty in answers of old stores."""
    repeated: bool = False
    """The order was sent before; this is the answer that was given then."""

    def content(self) -> dict[str, Any]:
        """By name, in the sequence above."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def packed(self) -> bytes:
        """As a history store keeps it, and as it is answered: JSON."""
        return self._packed

    @cached_property
    def _packed(self) -> bytes:
        return _ENCODER.encode(self.content()).encode()


class OnlineScorer:
    """Scores raw orders one by one; may be used by several threads at once.

    Args:
        model: an opened model folder.
        store: the earlier orders; None for a model of wide rows, which carry their own histories.

    Raises:
        HistoryError: the store was made for other columns.
    """

    def __init__(self, model: ScoringModel, store: HistoryStore | None) -> None:
        self.model, self.store, self.description = model, store, model.dataset
        self._percentiles, self._calibrator = model.percentiles(), model.calibrator()
        self._histories = None
        if store is not None:
            fitted = Preprocessing.load(model.preprocessing_path)
            sequences = sequences_of(model.session.input_names)
            self._histories = Histories(self.description, fitted, sequences, store)

    @property
    def histories(self) -> Histories:
        """What orders are recorded in.

        Raises:
            HistoryError: the model is one of wide rows.
        """
        if self._histories is None:
            raise HistoryError(
                "the model's orders carry their own histories (wide layout): nothing is recorded"
            )
        return self._histories

    @classmethod
    def open(
        cls, model_dir: str | Path, place: str | Path, late_days: float = LATE_DAYS, sync: bool = False
    ) -> OnlineScorer:
        """Open a model folder and a history store; a folder without one gets an empty one.

        Args:
            model_dir: the model folder.
            place: the history store's folder, or an address of Redis (redis://host:6379/0).
            late_days: of a store that is made.
            sync: wait for the disk before an order is acknowledged; see `LmdbStore`.
        """
        model = ScoringModel.load(model_dir)
        if model.dataset.layout == "wide":
            return cls(model, None)
        return cls(model, open_or_create(place, columns_of(model.dataset, late_days), sync))

    def close(self) -> None:
        """Close the store."""
        if self.store is not None:
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
        clean = self.histories.read(orders)
        earlier, _, answers = self.histories.look_up(clean, self._answers)
        answers |= {
            name: replace(Scored(**json.loads(text)), repeated=True) for name, text in earlier.items()
        }
        return [answers[order.name] for order in clean]

    def add(self, orders: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Record orders without scoring them; see `Histories.add`."""
        return self.histories.add(orders)

    def add_label(self, order_id: Any, label: Any, at: Any) -> None:
        """Record the label of an order; see `Histories.add_labels`."""
        self.histories.add_labels([(order_id, label, at)])

    def tensors(self, orders: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The tensors that raw orders would be scored by now; nothing is recorded."""
        return self.histories.tensors(orders)

    def outputs_of(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | None]:
        """`score`, `percentile` and `probability` of a batch, [B] each; None in a folder without them.

        Raises:
            ValueError: a score is not a number in [0, 1].
        """
        score = self.model.session.run(batch)["score"]
        if not all(0 <= each <= 1 for each in score.tolist()):
            raise ValueError("a score is not a number in [0, 1]: look for extreme numbers in the order")
        return {
            "score": score,
            "percentile": None if self._percentiles is None else self._percentiles.percentile(score),
            "probability": None if self._calibrator is None else self._calibrator.probability(score),
        }

    def _answers(self, targets: list[Target]) -> list[Scored]:
        batch = self.histories.inputs.batch(targets)
        digests, outputs = digests_of(batch), self.outputs_of(batch)
        found = {name: None if values is None else values.tolist() for name, values in outputs.items()}
        none = [None] * len(targets)
        described = self.model.description
        columns = (found["score"] or none, found["percentile"] or none, found["probability"] or none, digests)
        return [
            Scored(
                order_id=target.record.id(),
                score=score,
                percentile=percentile,
                calibrated_probability=probability,
                model_digest=described.onnx_sha256,
                gate_id=described.verdict_id,
                history={_WHOSE[kind]: target.history(kind) for kind in target.histories},
                inputs_digest=digest,
            )
            for target, score, percentile, probability, digest in zip(targets, *columns, strict=True)
        ]
