"""Decision logs of `tsa serve --decisions`: the answers as scored orders, and the labels that were sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tsa_model.events.arrays import flags
from tsa_model.events.casting import cast_label
from tsa_model.events.ids import IdForm, cast_id
from tsa_model.events.moments import cast_moment
from tsa_model.online.decisions import SCHEMA, journal_rows
from tsa_model.settings.dataset import DatasetDescription

JOURNALS = "decisions-*.journal"
JOURNAL = ".journal"
TOLD = {"kind", "content", "received_us", "answered_us"}
"""Columns that no other file has."""


@dataclass(frozen=True)
class SentLabels:
    """M labels that the service was told, in the order in which they came."""

    order_id: NDArray[Any]
    label: NDArray[np.int8]
    known_us: NDArray[np.int64]
    """From when on each is known; microseconds since 1970-01-01 UTC."""

    def by(self, as_of_us: int) -> tuple[NDArray[Any], NDArray[np.int8]]:
        """Order ids and labels of those that are known at a moment."""
        known = self.known_us <= as_of_us
        return self.order_id[known], self.label[known]


class LogFile(NamedTuple):
    """What a file of a decision log holds that monitoring reads."""

    repeats: pa.Table
    """Answers that were given again to an order that was sent again; columns as those of `answers`."""
    answers: pa.Table
    """`order_id`, `time_us`, `score`, `probability`, `label` (null), `waited_us`, `model_digest`."""
    labels: pa.Table
    """`order_id`, `label`, `known_us`, `received_us`."""


@dataclass(frozen=True)
class LogReader:
    """Reads files of decision logs, Parquet or journals.

    Args:
        dataset: names the columns of the orders as they were sent.
        whole_ids: whether order ids are numbers, as in the score files of the model's run.
    """

    dataset: DatasetDescription
    whole_ids: bool

    def read(self, file: Path) -> LogFile:
        """The answers and the labels of a file.

        Raises:
            ValueError: an order or a label of the log cannot be read.
        """
        rows = self._rows(file)
        answers = rows.filter(pc.equal(rows["kind"], "score"))
        repeated = pc.fill_null(answers["repeated"], False)
        return LogFile(
            repeats=self._answers(answers.filter(repeated), file),
            answers=self._answers(answers.filter(pc.invert(repeated)), file),
            labels=self._labels(rows.filter(pc.equal(rows["kind"], "label")), file),
        )

    def _rows(self, file: Path) -> pa.Table:
        if file.suffix == JOURNAL:
            return pa.Table.from_pylist(journal_rows(file), schema=SCHEMA)
        return pq.read_table(file, schema=SCHEMA)

    def _answers(self, rows: pa.Table, file: Path) -> pa.Table:
        name = self.dataset.order_time
        time = _moments([json.loads(one).get(name) for one in rows["content"].to_pylist()], name, file)
        return pa.table(
            {
                "order_id": self._ids(rows["order_id"], file),
                "time_us": time,
                "score": rows["score"],
                "probability": rows["calibrated_probability"],
                "label": pa.nulls(rows.num_rows, pa.int8()),
                "waited_us": pc.subtract(rows["answered_us"], time),
                "model_digest": rows["model_digest"],
            }
        )

    def _labels(self, rows: pa.Table, file: Path) -> pa.Table:
        sent = [json.loads(one) for one in rows["content"].to_pylist()]
        label = cast_label(pa.array([_number_text(one.get("label")) for one in sent], pa.string()))
        if label.bad.any():
            value = sent[int(np.argmax(label.bad))].get("label")
            raise ValueError(f"{file}: the label {value!r} is not {label.asked}")
        return pa.table(
            {
                "order_id": self._ids(rows["order_id"], file),
                "label": label.values.cast(pa.int8()),
                "known_us": _moments([one.get("known_at") for one in sent], "known_at", file),
                "received_us": rows["received_us"],
            }
        )

    def _ids(self, raw: pa.ChunkedArray, file: Path) -> pa.Array:
        ids = cast_id(raw, IdForm(is_whole=self.whole_ids)).values
        lacking = flags(pc.is_null(ids))
        if lacking.any():
            value = raw[int(np.argmax(lacking))].as_py()
            kind = "numbers" if self.whole_ids else "text"
            raise ValueError(
                f"{file}: the order id {value!r} does not fit the score files of the model's run, where ids "
                f"are {kind}: give the decision log of a service of this model"
            )
        return ids


def is_log(columns: Sequence[str]) -> bool:
    """Whether a Parquet file with these columns is one of a decision log."""
    return set(columns) >= TOLD


def sent_labels(tables: Sequence[pa.Table]) -> SentLabels | None:
    """The labels of all files; None where none were sent."""
    if not sum(table.num_rows for table in tables):
        return None
    table = pa.concat_tables(tables).sort_by("received_us")
    order_id = table["order_id"].to_numpy()
    return SentLabels(
        order_id.astype(np.str_) if order_id.dtype.kind == "O" else order_id,
        table["label"].to_numpy(),
        table["known_us"].to_numpy(),
    )


def first_answers(files: Sequence[LogFile]) -> list[pa.Table]:
    """Each order's answer, the first one where it was sent again."""
    if not files:
        return []
    answers, repeats = (pa.concat_tables(one) for one in list(zip(*files, strict=True))[:2][::-1])
    is_there = pc.is_in(repeats["order_id"], answers["order_id"].combine_chunks())
    return [repeats.filter(pc.invert(is_there)), answers]


def _number_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _moments(values: list[Any], column: str, file: Path) -> pa.Array:
    """Moments as JSON holds them: text or numbers, one log perhaps both."""
    found = np.zeros(len(values), np.int64)
    kinds = np.array([isinstance(value, str) for value in values], bool)
    for is_text in (True, False):
        places = np.flatnonzero(kinds == is_text)
        type_ = pa.string() if is_text else pa.float64()
        cast = cast_moment(pa.array([values[place] for place in places], type_))
        lacking = flags(pc.is_null(cast.values))
        if lacking.any():
            value = values[places[int(np.argmax(lacking))]]
            raise ValueError(f"{file}: {column} {value!r} is not {cast.asked}")
        found[places] = cast.values.to_numpy(zero_copy_only=False)
    return pa.array(found)
