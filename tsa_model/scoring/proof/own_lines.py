"""Every scored order against its own row of the events: its time, its label, and that none is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tsa_model.events.units import to_us
from tsa_model.scoring.proof.raw_orders import Lines, RawOrders
from tsa_model.scoring.proof.rebuilding import OwnKeys
from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.proof.statement import (
    MOST_COUNTEREXAMPLES,
    Counterexample,
    Statement,
    about_orders,
)
from tsa_model.settings.dataset import DatasetDescription

FIRST_US, LAST_US = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Selection:
    """Which orders of the events a score file must hold: those of a stretch of time."""

    start_us: int = FIRST_US
    end_us: int = LAST_US
    """The first moment that does not belong to it."""
    labelled: bool = True
    """Without the orders whose label is not known."""
    known_by_us: int = LAST_US
    """Without those whose label is known only later."""

    def since(self, moment: datetime | None) -> Selection:
        """Without the orders before a moment."""
        return self if moment is None else replace(self, start_us=max(self.start_us, to_us(moment)))

    def of(self, lines: Lines) -> NDArray[np.bool_]:
        """Which lines are selected, [n]."""
        inside = (lines.time_us >= self.start_us) & (lines.time_us < self.end_us)
        return inside & (lines.label >= 0) & (lines.known_us <= self.known_by_us) if self.labelled else inside


def period_selection(description: DatasetDescription, period: str) -> Selection:
    """The labelled orders of a period. But for the test period, labels must be known when it begins."""
    start_us, end_us = (to_us(moment) for moment in description.split.window(period))
    known_by_us = LAST_US if period == "test" else to_us(description.split.test_start)
    return Selection(start_us, end_us, known_by_us=known_by_us)


@dataclass(frozen=True)
class OwnLines:
    """What the events say of the scored orders."""

    statements: list[Statement]
    keys: OwnKeys
    """Of the sampled orders that the events have, in the order in which they were asked for."""


def read_own_lines(
    raw: RawOrders,
    files: list[ScoreFile],
    selections: dict[str, Selection],
    sampled: pa.Array,
    may_be_missing: int = 0,
) -> OwnLines:
    """Go through the events once.

    Args:
        raw: the events.
        files: the score files of all periods.
        selections: period → the orders that its file must hold.
        sampled: order ids whose keys are wanted.
        may_be_missing: orders that may be missing, because their rows cannot be used and were set aside.
    """
    ids = np.concatenate([file.order_id for file in files])
    scored = _Scored(files, pa.array(ids))
    keys: list[pa.Table] = []
    for lines in raw.lines():
        scored.note(lines, selections)
        of_sample = pc.is_in(lines.order_id, value_set=_like(sampled, lines.order_id))
        columns = {"order_id": lines.order_id, "customer": lines.customer, "card": lines.card}
        found = {name: values.filter(of_sample) for name, values in columns.items() if values is not None}
        keys.append(pa.table(found))
    table = pa.concat_tables(keys)
    place = pc.index_in(_like(sampled, table["order_id"]), value_set=table["order_id"].combine_chunks())
    table = table.take(place.drop_null())

    def column(name: str) -> pa.Array | None:
        return table[name].combine_chunks() if name in table.column_names else None

    order_id, customer = column("order_id"), column("customer")
    assert order_id is not None
    own = OwnKeys(order_id, order_id if customer is None else customer, column("card"))
    return OwnLines(scored.statements(may_be_missing), own)


def _like(ids: pa.Array, others: Any) -> pa.Array:
    """Ids in the type of others; without any where they cannot be."""
    try:
        return ids.cast(others.type)
    except pa.ArrowInvalid:
        return pa.array([], others.type)


class _Scored:
    """The orders of all score files, and what was seen of them so far."""

    def __init__(self, files: list[ScoreFile], ids: pa.Array) -> None:
        self._files, self._ids = files, ids
        self._time_us = np.concatenate([file.time_us for file in files])
        self._label = np.concatenate([file.label for file in files])
        self._ends = np.cumsum([len(file) for file in files])
        self._there, self._in_time, self._labelled = np.zeros((3, len(ids)), bool)
        self._missing: list[Any] = []
        self._n_missing = 0

    def note(self, lines: Lines, selections: dict[str, Selection]) -> None:
        """Compare some lines."""
        found = pc.index_in(lines.order_id, value_set=_like(self._ids, lines.order_id))
        place = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        known = np.flatnonzero(place >= 0)
        at = place[known]
        self._there[at] = True
        self._in_time[at[self._time_us[at] == lines.time_us[known]]] = True
        self._labelled[at[self._label[at] == lines.label[known]]] = True
        if not lines.is_scored:
            return
        start = 0
        for file, end in zip(self._files, self._ends.tolist(), strict=True):
            absent = selections[file.period].of(lines) & ~((place >= start) & (place < end))
            start = end
            self._n_missing += int(absent.sum())
            if absent.any() and len(self._missing) < MOST_COUNTEREXAMPLES:
                self._missing += lines.order_id.filter(pa.array(absent))[:MOST_COUNTEREXAMPLES].to_pylist()

    def statements(self, may_be_missing: int) -> list[Statement]:
        """What was found."""
        ids, there = self._ids.to_pylist() if not self._there.all() else self._ids, self._there
        missing = "" if self._n_missing <= may_be_missing else f"{self._n_missing:,} orders are missing"
        examples = tuple(Counterexample(one, "is not scored") for one in self._missing if missing)
        return [
            about_orders(
                "every scored order is one of the events, and in one file",
                ids,
                ~there,
                lambda _: "the events have no such order, or another file has it too",
            ),
            about_orders(
                "every time is that of the order's own row of the events",
                self._ids,
                there & ~self._in_time,
                lambda place: f"the file has {np.datetime64(int(self._time_us[place]), 'us')} UTC",
            ),
            about_orders(
                "every label is that of the order's own row of the events",
                self._ids,
                there & ~self._labelled,
                lambda place: f"the file has {self._label[place]}",
            ),
            Statement(
                "every order of the events that is to be scored has a score",
                rows=len(self._ids),
                counterexamples=examples[:MOST_COUNTEREXAMPLES],
                detail=missing,
            ),
        ]
