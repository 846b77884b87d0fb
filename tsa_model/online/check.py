"""The proof that an order gets online what the batch gives it: the test period again, and planted faults.

The orders before the stream are loaded as a log; those of the stream come one after the other in the order
of their times, without labels; each label comes when its delay is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tsa_model.batch import LABEL, history_names, sequences_of
from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.cleaning import wanted_columns
from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.reading import read_parts
from tsa_model.events.units import DAY_US, MICROSECONDS
from tsa_model.online.histories import Histories
from tsa_model.online.inputs import InputBuilder, Target
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history
from tsa_model.online.records import id_bytes
from tsa_model.online.scorer import OnlineScorer
from tsa_model.scoring.model import ScoringModel
from tsa_model.scratch import scratch_folder
from tsa_model.sequences import Preprocessing, SequenceStore
from tsa_model.settings import Settings
from tsa_model.settings.dataset import DatasetDescription

MOST_STREAMED = 20_000
"""Orders that are sent one by one, the last ones of the log."""
MOST_CHECKED = 2_000
"""Of them, those whose tensors and scores are compared, chosen by a hash of their ids."""
HOUR_US = 3600 * MICROSECONDS
SKEWS = ("a history one order short", "times an hour off", "a label a day early", "another scaler")


class OnlineVerdict(Settings):
    """What the replay found."""

    passed: bool
    streamed: int
    compared: int
    """Orders whose tensors and score were compared."""
    ties: int
    """Of them, those with another order of their customer or card at the same moment."""
    first_orders: int
    """Those without any earlier order of their customer."""
    without_card_history: int
    different_tensors: int
    different_scores: int
    """Scores that are not equal to the last bit."""
    example: str | None
    """An order that differs, and where."""
    skews: dict[str, bool | None]
    """Planted fault → whether the comparison found it; None = these data cannot show it."""


@dataclass
class _Found:
    different_tensors: int = 0
    different_scores: int = 0
    example: str | None = None


def check_online(
    events: Any,
    store_dir: str | Path,
    model_dir: str | Path,
    work: str | Path,
    show: Callable[[int, int], None] | None = None,
    most_streamed: int = MOST_STREAMED,
) -> OnlineVerdict:
    """Replay the end of a log through an embedded history store.

    Args:
        events: the orders that the sequence store was built of.
        store_dir: the sequence store.
        model_dir: the model folder.
        work: a path beside which the history store is made, and removed again.
        show: called with (orders done, orders altogether).
        most_streamed: orders that are sent one by one.

    Returns:
        The verdict; it has passed where nothing differs and every planted fault that the data show is found.
    """
    store, model = SequenceStore.open(store_dir), ScoringModel.load(model_dir)
    dataset = model.dataset
    columns = wanted_columns(dataset)
    table = pa.concat_tables([part for _, part in read_parts(events, columns, csv=dataset.csv)])
    rows = np.arange(len(store))[-most_streamed:]
    chosen = _chosen(store, rows)
    place = {id_bytes(name): row for row, name in zip(rows, store.ids_of(rows).tolist(), strict=True)}
    with scratch_folder(Path(work)) as scratch:
        raw, before = _split(table, dataset, place)
        if len(before):
            load_history(before, dataset, scratch / "history", late_days=0.0)
            scorer = OnlineScorer(model, LmdbStore(scratch / "history"))
        else:
            scorer = OnlineScorer.open(model_dir, scratch / "history", late_days=0.0)
        try:
            return _Replay(store, scorer, raw, rows, chosen).run(show)
        finally:
            scorer.close()


def _chosen(store: SequenceStore, rows: np.ndarray) -> set[int]:
    """The orders of the test period with the smallest hashes, and all of the latest where there are none."""
    test = np.intersect1d(store.targets("test"), rows)
    among = test if test.size else rows
    names = store.ids_of(among).tolist()
    hashes = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names]
    return {int(among[each]) for each in sorted(range(len(among)), key=hashes.__getitem__)[:MOST_CHECKED]}


def _split(
    table: pa.Table, description: DatasetDescription, place: Mapping[bytes, int]
) -> tuple[dict[int, dict[str, Any]], pa.Table]:
    """The raw orders of the stream by row number, and the table of all others."""
    column = description.order_id
    form = read_id_forms(table, description, [column])[column]
    names = cast_id(table[column], form, description.missing_words).values.to_pylist()
    found = [None if name is None else place.get(id_bytes(name)) for name in names]
    streamed = np.array([each is not None for each in found])
    rows = table.filter(pa.array(streamed)).to_pylist()
    numbers = [each for each in found if each is not None]
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return dict(zip(numbers, plain, strict=True)), table.filter(pa.array(~streamed))


def _plain(value: Any) -> Any:
    """A value of a table as JSON holds it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return float(value) if type(value).__name__ == "Decimal" else value


class _Replay:
    """One replay."""

    def __init__(
        self,
        store: SequenceStore,
        scorer: OnlineScorer,
        raw: dict[int, dict[str, Any]],
        rows: np.ndarray,
        chosen: set[int],
    ) -> None:
        self._store, self._scorer, self._raw = store, scorer, raw
        self._rows, self._chosen = rows, chosen
        self._histories: Histories = scorer.histories
        self._sequences = sequences_of(scorer.model.session.input_names)
        self._found = _Found()
        self._faults = _Faults(scorer, self._sequences)
        self._skews: dict[str, bool | None] = dict.fromkeys(SKEWS)
        self._tied = _tied(raw, scorer.description)
        self._counts = dict.fromkeys(("ties", "first_orders", "without_card_history"), 0)

    def run(self, show: Callable[[int, int], None] | None) -> OnlineVerdict:
        """Send every order and every label, compare the chosen ones."""
        d = self._store.description
        delay_us = round(d.label_delay_days * 86_400 * MICROSECONDS)
        times = self._store.times_of(self._rows).view(np.int64)
        labels = self._store.labels_of(self._rows)
        due = 0
        for done, row in enumerate(self._rows.tolist()):
            while due < done and times[due] + delay_us <= times[done]:
                self._send_label(int(self._rows[due]), int(labels[due]), int(times[due]) + delay_us)
                due += 1
            order = {name: value for name, value in self._raw[row].items() if name != d.label}
            if row in self._chosen:
                self._compare(row, order)
            else:
                self._histories.add(order)
            if show is not None and done % 100 == 0:
                show(done, len(self._rows))
        return self._verdict()

    def _send_label(self, row: int, label: int, at_us: int) -> None:
        if label >= 0:
            name = self._raw[row][self._store.description.order_id]
            self._histories.add_labels([(name, label, at_us / MICROSECONDS)])

    def _compare(self, row: int, order: dict[str, Any]) -> None:
        wanted = {
            name: tensor.numpy()
            for name, tensor in self._store.batch_rows(np.array([row]), self._sequences).items()
            if name != LABEL
        }
        clean = self._histories.read([order])
        target = next(iter(self._histories.look_up(clean)[1].values()))
        batch = self._histories.inputs.batch([target])
        if differing := _differing(batch, wanted):
            self._note("different_tensors", row, f"tensor {differing}")
        ours, theirs = self._scorer.outputs_of(batch)["score"], self._scorer.outputs_of(wanted)["score"]
        assert ours is not None
        assert theirs is not None
        if ours.tobytes() != theirs.tobytes():
            self._note("different_scores", row, f"score {ours[0]!r} instead of {theirs[0]!r}")
        self._counts["ties"] += row in self._tied
        self._count(wanted)
        self._plant(target, wanted)

    def _note(self, what: str, row: int, how: str) -> None:
        setattr(self._found, what, getattr(self._found, what) + 1)
        if self._found.example is None:
            self._found.example = f"order {self._store.ids_of(np.array([row]))[0]}: {how}"

    def _count(self, wanted: dict[str, np.ndarray]) -> None:
        names = history_names(self._sequences)
        lengths = [int((~wanted[each.mask][0, :-1]).sum()) for each in names]
        self._counts["first_orders"] += lengths[0] == 1
        self._counts["without_card_history"] += len(lengths) > 1 and lengths[1] == 1

    def _plant(self, target: Target, wanted: dict[str, np.ndarray]) -> None:
        """Make the same tensors with a fault, until the comparison has found each kind."""
        for name, plant in self._faults.by_name.items():
            if not self._skews[name]:
                self._skews[name] = bool(_differing(plant(target), wanted))

    def _verdict(self) -> OnlineVerdict:
        found = self._found
        is_equal = not found.different_tensors and not found.different_scores
        return OnlineVerdict(
            passed=is_equal and all(found is not False for found in self._skews.values()),
            streamed=len(self._rows),
            compared=len(self._chosen),
            different_tensors=found.different_tensors,
            different_scores=found.different_scores,
            example=found.example,
            skews=self._skews,
            **self._counts,
        )


def _differing(batch: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str:
    """The first tensor that is not equal byte for byte; empty = all are."""
    for name, values in wanted.items():
        if batch[name].dtype != values.dtype or batch[name].tobytes() != values.tobytes():
            return name
    return ""


def _tied(raw: Mapping[int, Mapping[str, Any]], description: DatasetDescription) -> set[int]:
    """Orders with another one of their customer or card at the same moment."""
    tied: set[int] = set()
    for column in (description.customer_id, description.card_id):
        together: dict[tuple[Any, Any], list[int]] = {}
        for number, row in raw.items():
            if column is not None and row[column] is not None:
                together.setdefault((row[column], row[description.order_time]), []).append(number)
        tied |= {number for numbers in together.values() if len(numbers) > 1 for number in numbers}
    return tied


class _Faults:
    """Ways to make an order's tensors wrongly."""

    def __init__(self, scorer: OnlineScorer, sequences: SequencesKind) -> None:
        self._inputs, d = scorer.histories.inputs, scorer.description
        fitted = Preprocessing.load(scorer.model.preprocessing_path)
        scalers = {name: each.changed(scale=each.scale * 1.001) for name, each in fitted.numerical.items()}
        self._other_scaler = InputBuilder(d, fitted.changed(numerical=scalers), sequences)
        self.by_name: dict[str, Callable[[Target], dict[str, np.ndarray]]] = {
            SKEWS[0]: self._short,
            SKEWS[1]: self._moved,
            SKEWS[3]: lambda target: self._other_scaler.batch([target]),
        }
        if d.known_label and d.label_delay_days >= 1:
            hasty = d.changed(label_delay_days=d.label_delay_days - 1)
            self._hasty = InputBuilder(hasty, fitted, sequences)
            self.by_name[SKEWS[2]] = self._early

    def _short(self, target: Target) -> dict[str, np.ndarray]:
        short = {kind: each.take(slice(1, len(each))) for kind, each in target.histories.items()}
        return self._inputs.batch([replace(target, histories=short)])

    def _moved(self, target: Target) -> dict[str, np.ndarray]:
        moved = {
            kind: replace(each, time_us=each.time_us - HOUR_US) for kind, each in target.histories.items()
        }
        return self._inputs.batch([replace(target, histories=moved)])

    def _early(self, target: Target) -> dict[str, np.ndarray]:
        early = {
            kind: replace(each, known_us=each.known_us - DAY_US) for kind, each in target.histories.items()
        }
        return self._hasty.batch([replace(target, histories=early)])
