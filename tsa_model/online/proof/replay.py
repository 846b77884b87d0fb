"""The test period again: orders one after the other, and each label when it becomes known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsa_model.batch import LABEL, history_names, sequences_of
from tsa_model.events.units import MICROSECONDS
from tsa_model.export.tolerances import SCORE_TOLERANCE
from tsa_model.online.inputs import Target
from tsa_model.online.orders import CleanOrder
from tsa_model.online.proof.faults import Faults
from tsa_model.online.proof.served import Server
from tsa_model.online.proof.stream import Stream
from tsa_model.online.proof.verdict import CONTROLS
from tsa_model.online.scorer import OnlineScorer
from tsa_model.sequences import SequenceStore

Show = Callable[[int, int], None]
TOLERANCE = 2 * SCORE_TOLERANCE
"""Two scores of one order in calls of different shapes: each may be so far from the truth."""
MOST_ALONE = 200
"""Orders whose tensors of the sequence store are run through the model one by one, too."""
CHUNK = 256
"""Orders whose tensors the sequence store makes at a time."""


@dataclass
class Findings:
    """What was counted; see `OnlineVerdict`."""

    labels: int = 0
    compared: int = 0
    ties: int = 0
    first_orders: int = 0
    without_card_history: int = 0
    different_tensors: int = 0
    different_scores: int = 0
    different_in_file: int = 0
    decided_by_shape: int = 0
    largest_difference: float = 0.0
    requests: int = 0
    different_answers: int = 0
    example: str | None = None
    controls: dict[str, bool | None] = field(default_factory=lambda: dict.fromkeys(CONTROLS))


class Replay:
    """One replay.

    Args:
        store: the sequence store, with the batch's tensors.
        scorer: over a history store that holds the orders before the stream.
        stream: what is sent.
        in_file: row number → the score in the score file; empty = there is none.
        server: a server over a copy of the history store; None = none.
        requests: orders that the server scores.
    """

    def __init__(
        self,
        store: SequenceStore,
        scorer: OnlineScorer,
        stream: Stream,
        in_file: Mapping[int, float],
        server: Server | None = None,
        requests: int = 0,
    ) -> None:
        self._store, self._scorer, self._stream = store, scorer, stream
        self._in_file, self._server, self._requests = in_file, server, requests
        self._sequences = sequences_of(scorer.model.session.input_names)
        self._faults = Faults(scorer, self._sequences)
        self._chosen = np.array(sorted(stream.chosen))
        self._chunk: dict[str, np.ndarray] = {}
        self._tied = _tied(store, stream.rows)
        self._waiting: list[dict[str, Any]] = []
        self.found = Findings()
        for name in self._faults.by_name:
            self.found.controls[name] = False

    def run(self, show: Show | None = None) -> Findings:
        """Send every order and every label, and compare the chosen orders.

        Args:
            show: called with (orders done, orders altogether).
        """
        d, rows = self._store.description, self._stream.rows
        times = self._store.times_of(rows).view(np.int64)
        known_us = self._store.labels_known_us(rows)
        by_moment = np.argsort(known_us, kind="stable")
        due = 0
        for done, row in enumerate(rows.tolist()):
            first = due
            while due < done and by_moment[due] < done and known_us[by_moment[due]] <= times[done]:
                due += 1
            self._send_labels(rows[by_moment[first:due]], known_us[by_moment[first:due]])
            order = {n: value for n, value in self._stream.raw[row].items() if n not in d.label_columns}
            if row in self._stream.chosen:
                self._send_waiting()
                self._compare(row, order)
            else:
                self._waiting.append(order)
            if show is not None and done % 100 == 0:
                show(done, len(rows))
        self._send_waiting()
        return self.found

    def _send_labels(self, rows: np.ndarray, at_us: np.ndarray) -> None:
        name, labels = self._store.description.order_id, self._store.labels_of(rows)
        known = [
            (self._stream.raw[row][name], label, moment / MICROSECONDS)
            for row, label, moment in zip(rows.tolist(), labels.tolist(), at_us.tolist(), strict=True)
            if label >= 0
        ]
        if not known:
            return
        self._send_waiting()
        self._scorer.histories.add_labels(known)
        self.found.labels += len(known)
        if self._server is not None:
            fields = ("order_id", "label", "known_at")
            self._server.post("/labels", [dict(zip(fields, each, strict=True)) for each in known])

    def _send_waiting(self) -> None:
        """Record the orders that are not compared, many at once."""
        for first in range(0, len(self._waiting), 500):
            part = self._waiting[first : first + 500]
            self._scorer.histories.add(part)
            if self._server is not None:
                self._server.post("/orders", part)
        self._waiting.clear()

    def _compare(self, row: int, order: dict[str, Any]) -> None:
        wanted = self._wanted(row)
        (clean,) = self._scorer.histories.read([order])
        target = next(iter(self._scorer.histories.look_up([clean])[1].values()))
        batch = self._scorer.histories.inputs.batch([target])
        if differing := differing_tensor(batch, wanted):
            self._note("different_tensors", row, f"tensor {differing}")
        outputs = self._scorer.outputs_of(batch)
        score = outputs["score"]
        assert score is not None
        if self.found.compared < MOST_ALONE or differing:
            alone = self._scorer.outputs_of(wanted)["score"]
            assert alone is not None
            if score.tobytes() != alone.tobytes():
                self._note("different_scores", row, f"score {score[0]!r} instead of {alone[0]!r}")
        self._compare_with_file(row, float(score[0]))
        self._ask(
            row, order, {name: None if each is None else float(each[0]) for name, each in outputs.items()}
        )
        self._count(row, wanted)
        self._plant(clean, target, wanted)

    def _wanted(self, row: int) -> dict[str, np.ndarray]:
        """The tensors of the sequence store, [1, …] each."""
        place = int(np.searchsorted(self._chosen, row)) % CHUNK
        if place == 0:
            first = int(np.searchsorted(self._chosen, row))
            batch = self._store.arrays(self._chosen[first : first + CHUNK], self._sequences)
            self._chunk = {name: values for name, values in batch.items() if name != LABEL}
        return {name: values[place : place + 1] for name, values in self._chunk.items()}

    def _compare_with_file(self, row: int, score: float) -> None:
        if row not in self._in_file:
            return
        difference = abs(score - self._in_file[row])
        if difference > TOLERANCE:
            several = self._scorer.outputs_of(self._chunk)["score"]
            assert several is not None
            as_in_file = float(several[int(np.searchsorted(self._chosen, row)) % CHUNK])
            if abs(as_in_file - self._in_file[row]) <= TOLERANCE:
                self.found.decided_by_shape += 1
                return
            self._note("different_in_file", row, f"score {score!r}, in the file {self._in_file[row]!r}")
        self.found.largest_difference = max(self.found.largest_difference, difference)

    def _ask(self, row: int, order: dict[str, Any], outputs: Mapping[str, float | None]) -> None:
        """Let the server score the order, too: the answer must be equal to the last bit."""
        if self._server is None:
            return
        answer = self._server.post("/score", order)
        self.found.requests += 1
        if self.found.requests == self._requests:
            self._server = None  # from now on it lacks orders
        names = {"score": "score", "percentile": "percentile", "calibrated_probability": "probability"}
        for name, what in names.items():
            if answer[name] != outputs[what]:
                how = f"the server's {name} is {answer[name]!r} instead of {outputs[what]!r}"
                self._note("different_answers", row, how)
                return

    def _note(self, what: str, row: int, how: str) -> None:
        setattr(self.found, what, getattr(self.found, what) + 1)
        if self.found.example is None:
            self.found.example = f"order {self._store.ids_of(np.array([row]))[0]}: {how}"

    def _count(self, row: int, wanted: dict[str, np.ndarray]) -> None:
        names = history_names(self._sequences)
        lengths = [int((~wanted[each.mask][0, :-1]).sum()) for each in names]
        self.found.compared += 1
        self.found.ties += row in self._tied
        self.found.first_orders += lengths[0] == 1
        self.found.without_card_history += len(lengths) > 1 and lengths[1] == 1

    def _plant(self, order: CleanOrder, target: Target, wanted: dict[str, np.ndarray]) -> None:
        """Make the same tensors with a fault, until the comparison has found each kind."""
        for name, plant in self._faults.by_name.items():
            if not self.found.controls[name]:
                self.found.controls[name] = bool(differing_tensor(plant(order, target), wanted))


def differing_tensor(batch: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str:
    """The first tensor that is not equal byte for byte; empty = all are."""
    for name, values in wanted.items():
        if batch[name].dtype != values.dtype or batch[name].tobytes() != values.tobytes():
            return name
    return ""


def _tied(store: SequenceStore, rows: np.ndarray) -> set[int]:
    """Orders with another one of their customer or card at the same moment."""
    times, tied = store.times_of(rows).view(np.int64), np.zeros(len(rows), bool)
    for numbers in store.key_numbers(rows).values():
        _, inverse, counts = np.unique(
            np.stack([numbers, times]), axis=1, return_inverse=True, return_counts=True
        )
        tied |= counts[inverse.ravel()] > 1
    return set(rows[tied].tolist())
