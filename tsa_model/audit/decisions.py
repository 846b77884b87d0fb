"""A decision log against the batch: every answer computed again, and every difference named.

Each logged score is compared with what the batch makes of the same order: the tensors by their digest, the
score to the last bit. Where it differs, the requests of the log are played again in the order in which they
came, into histories of their own. Where that gives the logged tensors, the service did right with what it
had, and an order or a label that came later explains the difference; where it does not, the service computed
something else: skew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tsa_model.batch import sequences_of
from tsa_model.events.cleaning import wanted_columns
from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.reading import read_parts
from tsa_model.online.decisions import read_decisions
from tsa_model.online.digests import digests_of
from tsa_model.online.histories import Histories
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history, make_empty
from tsa_model.scoring.model import ScoringModel
from tsa_model.scratch import scratch_folder
from tsa_model.sequences import Preprocessing, SequenceStore
from tsa_model.settings import Settings

Reason = Literal[
    "an order arrived late",
    "a label came in between",
    "the log of events has other values",
    "skew",
    "not in the log of events",
    "the answer is not the score of its tensors",
]
ALL_DAYS = 36_500.0
"""Nothing is dropped while the log is played again."""
Progress = Callable[[int, int], None]


class Difference(Settings):
    """An answer that the batch would not give."""

    order_id: str
    reason: Reason
    detail: str
    logged: float
    batch: float | None


class DecisionAudit(Settings):
    """What an audit of decisions found."""

    decisions: int
    """Answers that were logged, those left out that repeat an earlier one."""
    other_models: int
    """Of them, those of another model, which were not compared."""
    same: int
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether the service did right: what came late is no fault of its own."""
        faults = {"skew", "the answer is not the score of its tensors"}
        return not any(each.reason in faults for each in self.differences)

    def lines(self) -> list[str]:
        """The audit as text, a line per difference."""
        return [
            f"order {each.order_id}: {each.reason} ({each.detail}); "
            f"logged {each.logged!r}, batch {each.batch!r}"
            for each in self.differences
        ]


def audit_decisions(
    log_dir: str | Path,
    model_dir: str | Path,
    events: Any,
    work: str | Path,
    show: Progress | None = None,
) -> DecisionAudit:
    """Compute logged answers again.

    Args:
        log_dir: the folder of `tsa serve --decisions`.
        model_dir: the model; answers of others are counted only.
        events: the raw orders of the log's time and before, with their labels, as the batch reads them.
            Orders that the log lacks and that are older than its first one are taken as loaded before.
        work: a path beside which working files are made, and removed again.
        show: called with (requests played again, requests altogether).

    Raises:
        ValueError: the log, the model or the events cannot be read.
    """
    model = ScoringModel.load(model_dir)
    rows = read_decisions(log_dir)
    with scratch_folder(Path(work)) as scratch:
        batch = _Batch(model, events, scratch)
        fresh = [row for row in rows if row["kind"] == "score" and not row["repeated"]]
        ours = [row for row in fresh if row["model_digest"] == model.description.onnx_sha256]
        compared = {row["order_id"]: batch.compare(row) for row in ours}
        wrong = {name for name, found in compared.items() if found != "same"}
        replayed: dict[str, str] = {}
        if wrong:
            replayed = _replayed(batch, rows, wrong, scratch, show)
        differences = [
            batch.difference(row, compared[row["order_id"]], replayed.get(row["order_id"], ""), rows)
            for row in ours
            if row["order_id"] in wrong
        ]
    return DecisionAudit(
        decisions=len(fresh),
        other_models=len(fresh) - len(ours),
        same=len(ours) - len(differences),
        differences=tuple(differences),
    )


class _Batch:
    """What the batch makes of the events."""

    def __init__(self, model: ScoringModel, events: Any, scratch: Path) -> None:
        self.model, self.d = model, model.dataset
        self.fitted = Preprocessing.load(model.preprocessing_path)
        self.sequences = sequences_of(model.session.input_names)
        self.store = SequenceStore.build(events, self.d, scratch / "batch", self.fitted)
        parts = [part for _, part in read_parts(events, wanted_columns(self.d), csv=self.d.csv)]
        self.table = pa.concat_tables(parts)
        form = read_id_forms(self.table, self.d, [self.d.order_id])[self.d.order_id]
        ids = cast_id(self.table[self.d.order_id], form, self.d.missing_words).values.to_pylist()
        self.ids = [str(each) for each in ids]
        everything = np.arange(len(self.store))
        names = map(str, self.store.ids_of(everything).tolist())
        self.row_of = dict(zip(names, everything.tolist(), strict=True))
        times = self.store.times_of(everything).view(np.int64)
        self.time_of = {name: int(times[row]) for name, row in self.row_of.items()}
        self.raw_of = dict(zip(self.ids, self.table.to_pylist(), strict=True))

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """What the network reads of an order."""
        found = self.store.batch_rows(np.array([self.row_of[name]]), self.sequences)
        wanted = self.model.session.input_names
        return {each: tensor.numpy() for each, tensor in found.items() if each in wanted}

    def score(self, name: str) -> float:
        """What the batch answers."""
        return float(self.model.session.run(self.tensors(name))["score"][0])

    def compare(self, row: Mapping[str, Any]) -> str:
        """`same`, `tensors`, `score` or `missing`."""
        name = row["order_id"]
        if name not in self.row_of:
            return "missing"
        if digests_of(self.tensors(name))[0] != row["inputs_digest"]:
            return "tensors"
        return "same" if np.float32(self.score(name)) == np.float32(row["score"]) else "score"

    def difference(
        self, row: Mapping[str, Any], how: str, replayed: str, rows: Sequence[Mapping[str, Any]]
    ) -> Difference:
        """A difference with its reason."""
        name = row["order_id"]
        reason, detail = self._reason(row, how, replayed, rows)
        score = None if how == "missing" else self.score(name)
        return Difference(order_id=name, reason=reason, detail=detail, logged=row["score"], batch=score)

    def _reason(
        self, row: Mapping[str, Any], how: str, replayed: str, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[Reason, str]:
        if how == "missing":
            return "not in the log of events", "the batch has no such order"
        if how == "score":
            return "the answer is not the score of its tensors", "the tensors are the batch's"
        if replayed != row["inputs_digest"]:
            return "skew", "the requests played again give other tensors"
        arrived = {
            each["order_id"]: each["received_us"] for each in reversed(rows) if each["kind"] != "label"
        }
        late = [each for each in self._before(row["order_id"]) if not _was_there(each, row, arrived, self)]
        if late:
            return "an order arrived late", f"{late[0]} and {len(late) - 1} more" if late[1:] else late[0]
        if self.d.known_label or any("label" in window.statistic for window in self.d.windows):
            named = self._labels_that_came_later(row, rows)
            return "a label came in between", named[0] if named else "no label of an earlier order came later"
        return "the log of events has other values", "no order and no label came later"

    def _labels_that_came_later(self, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Earlier orders of which the batch counts a label that was sent after the answer, or never."""
        came_us: dict[str, int] = {}
        for each in rows:
            if each["kind"] == "label" or json.loads(each["content"]).get(self.d.label) is not None:
                came_us.setdefault(each["order_id"], each["received_us"])
        sent = {each["order_id"] for each in rows}
        before = [name for name in self._before(row["order_id"]) if name in sent]
        places = np.array([self.row_of[name] for name in before], np.int64)
        counted = self.store.labels_of(places) >= 0
        counted &= self.store.labels_known_us(places) <= self.time_of[row["order_id"]]
        return [
            f"of order {name}, " + ("which came later" if name in came_us else "which never came")
            for name, counts in zip(before, counted.tolist(), strict=True)
            if counts and came_us.get(name, row["received_us"] + 1) > row["received_us"]
        ]

    def _before(self, name: str) -> list[str]:
        """The orders of the same customer or card that are earlier."""
        own, d = self.raw_of[name], self.d
        keys = [key for key in (d.customer_id, d.card_id) if key is not None and own[key] is not None]
        return [
            other
            for other, raw in self.raw_of.items()
            if other in self.time_of
            and self.time_of[other] < self.time_of[name]
            and any(raw[key] == own[key] for key in keys)
        ]


def _was_there(name: str, row: Mapping[str, Any], arrived: Mapping[str, int], batch: _Batch) -> bool:
    """Whether an order was known when another was answered."""
    if name in arrived:
        return arrived[name] <= row["received_us"]
    first = min(batch.time_of[each] for each in arrived if each in batch.time_of)
    return batch.time_of[name] <= first


def _replayed(
    batch: _Batch, rows: Sequence[Mapping[str, Any]], wanted: set[str], scratch: Path, show: Progress | None
) -> dict[str, str]:
    """Digests of the tensors of some orders when the log is played again."""
    logged = {row["order_id"] for row in rows if row["kind"] != "label"}
    first_us = min((batch.time_of[name] for name in logged if name in batch.time_of), default=0)
    is_before = [name not in logged and batch.time_of.get(name, first_us) <= first_us for name in batch.ids]
    place = scratch / "history"
    if any(is_before):
        load_history(batch.table.filter(pa.array(is_before)), batch.d, place, late_days=ALL_DAYS)
    else:
        make_empty(batch.d, place, late_days=ALL_DAYS)
    histories = Histories(batch.d, batch.fitted, batch.sequences, LmdbStore(place))
    found: dict[str, str] = {}
    try:
        for done, row in enumerate(rows):
            content = json.loads(row["content"])
            if row["kind"] == "label":
                histories.add_labels([(content["order_id"], content["label"], content["known_at"])])
            else:
                if row["order_id"] in wanted and row["kind"] == "score" and not row["repeated"]:
                    found[row["order_id"]] = digests_of(histories.tensors([content]))[0]
                histories.add([content])
            if show is not None and done % 100 == 0:
                show(done, len(rows))
    finally:
        histories.store.close()
    return found
