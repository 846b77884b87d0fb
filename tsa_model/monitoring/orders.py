"""Scored orders of production and their labels, read from score folders, Parquet files and decision logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tsa_model.events.casting import cast_label
from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.reading import open_events, read_parts
from tsa_model.files import sha256
from tsa_model.monitoring.decision_logs import (
    JOURNAL,
    JOURNALS,
    LogFile,
    LogReader,
    SentLabels,
    first_answers,
    is_log,
    sent_labels,
)
from tsa_model.scoring.files import MANIFEST_FILE, PARQUET_FILE, read_score_folder
from tsa_model.settings.dataset import DatasetDescription

NEEDED = ("order_id", "order_time", "score", "model_digest")
PROBABILITY, LABEL = "calibrated_probability", "label"
ANSWERED = ("answered_at", "scored_at")
"""Columns of other services' logs with the moment of the answer; score files have none."""
REMEDY = "give folders of 'tsa score', their scores.parquet, or decision logs"


@dataclass(frozen=True)
class ScoredDays:
    """N scored orders in time order, each once."""

    order_id: NDArray[Any]
    """[N] int64, or text."""
    time_us: NDArray[np.int64]
    """[N] microseconds since 1970-01-01 UTC."""
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    """[N] calibrated; NaN where there was no calibrator."""
    label: NDArray[np.int8]
    """[N] 0, 1, or -1 where it is not known."""
    waited_us: NDArray[np.int64]
    """[N] from the order to its answer; -1 where it is not said."""
    sources: dict[str, str]
    """Path of a file → its SHA-256."""
    notes: tuple[str, ...]
    """What was left out, and why."""
    sent: SentLabels | None = None
    """Labels that a decision log holds; `until` has made those that are known into `label`."""

    def until(self, kept: int, as_of_us: int) -> ScoredDays:
        """The first orders alone, with the labels of decision logs that are known at a moment."""
        names = ("order_id", "time_us", "score", "probability", "label", "waited_us")
        first = replace(self, sent=None, **{name: getattr(self, name)[:kept] for name in names})
        return first if self.sent is None else first.with_labels(*self.sent.by(as_of_us))

    def with_labels(self, order_id: NDArray[Any], label: NDArray[np.integer]) -> ScoredDays:
        """The same orders with labels that came later; a known label takes the place of what was there.

        Args:
            order_id: [M] of the labels.
            label: [M] 0, 1, or -1 where it is not known.
        """
        known = label >= 0
        ids, labels = order_id[known], label[known]
        if not ids.size:
            return self
        if ids.dtype.kind != self.order_id.dtype.kind:
            ids = ids.astype(self.order_id.dtype) if self.order_id.dtype.kind == "U" else ids
        by_id = np.argsort(ids, kind="stable")
        place = np.searchsorted(ids, self.order_id, side="right", sorter=by_id) - 1
        found = by_id[place.clip(0)]
        is_there = (place >= 0) & (ids[found] == self.order_id)
        merged = np.where(is_there, labels[found], self.label).astype(np.int8)
        changed = int(((self.label >= 0) & (merged != self.label)).sum())
        words = (f"{changed:,} labels contradict those of the score files; the later ones count",)
        return replace(self, label=merged, notes=self.notes + (words if changed else ()))


def read_scored(paths: Sequence[str | Path], model_digest: str, logs: LogReader) -> ScoredDays:
    """Read every scored order of one model.

    Args:
        paths: score folders, Parquet files, decision logs, or folders of these.
        model_digest: SHA-256 of the model's ONNX file; orders of other models are left out, and it is said.
        logs: reads the files of decision logs.

    Raises:
        ValueError: a path holds no scores, a file lacks a column, or no order was scored by the model.
    """
    tables: list[pa.Table] = []
    logged: list[LogFile] = []
    sources: dict[str, str] = {}
    others: dict[str, int] = {}

    def ours(table: pa.Table, file: Path) -> pa.Table:
        """The rows of the model; those of others are counted."""
        is_ours = pc.equal(table["model_digest"].cast(pa.string()), model_digest).fill_null(False)
        if left_out := table.num_rows - (pc.sum(is_ours).as_py() or 0):
            others[str(file)] = others.get(str(file), 0) + left_out
        return table.filter(is_ours)

    for file in _files(paths):
        try:
            found = _read(file, logs)
            sources[str(file)] = sha256(file)
        except FileNotFoundError:
            if file.suffix == JOURNAL:  # it has become a Parquet file, which comes later
                continue
            raise
        if isinstance(found, LogFile):
            answers = ours(found.answers, file)
            logged.append(LogFile(ours(found.repeats, file), answers, found.labels))
        else:
            tables.append(ours(found, file))
    tables += first_answers(logged)
    if not sum(table.num_rows for table in tables):
        places = ", ".join(others) or "the files"
        raise ValueError(
            f"none of the {sum(others.values()):,} orders in {places} was scored by the model "
            f"{model_digest[:12]} of the reference: give the scores of that model, or the other one's run"
        )
    notes = [
        f"{n:,} orders of {file} were scored by another model and left out" for file, n in others.items()
    ]
    return replace(_each_once(tables, sources, notes), sent=sent_labels([log.labels for log in logged]))


def read_labels(events: Any, dataset: DatasetDescription) -> tuple[NDArray[Any], NDArray[np.int8]]:
    """Order ids [M] and labels [M] (-1 = not known) of a file with these two columns of the description.

    Args:
        events: path or paths of raw orders or of labels alone.
        dataset: names the columns.

    Raises:
        ValueError: a column is missing, or a label is neither 0, 1 nor unknown.
    """
    columns = [dataset.order_id, dataset.label]
    sources = open_events(events, dataset.csv, columns).sources
    form = read_id_forms(sources, dataset, [dataset.order_id])[dataset.order_id]
    ids, labels = [], []
    for origin, part in read_parts(sources, columns, csv=dataset.csv):
        order_id = cast_id(part[dataset.order_id], form, dataset.missing_words)
        label = cast_label(part[dataset.label], dataset.csv.decimal)
        if label.bad.any():
            value = part[dataset.label][int(np.flatnonzero(label.bad)[0])].as_py()
            raise ValueError(f"{origin}: the label {value!r} is not {label.asked}")
        kept = pc.is_valid(order_id.values)
        ids.append(order_id.values.filter(kept).to_numpy(zero_copy_only=False))
        labels.append(label.values.filter(kept).to_numpy(zero_copy_only=False))
    order_ids = np.concatenate(ids)
    return order_ids.astype(np.str_) if order_ids.dtype.kind == "O" else order_ids, np.concatenate(labels)


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if (path / MANIFEST_FILE).is_file() and (path / PARQUET_FILE).is_file():
            read_score_folder(path)
            yield path / PARQUET_FILE
        elif path.is_dir():
            below = sorted(
                one.parent for one in path.rglob(MANIFEST_FILE) if (one.parent / PARQUET_FILE).is_file()
            )
            yield from _files(below)
            any_loose = False
            # Journals first: one that becomes a Parquet file meanwhile is found as such.
            for pattern in (JOURNALS, "*.parquet"):
                for one in sorted(path.rglob(pattern)):
                    if not _is_inside(one, below):
                        any_loose = True
                        yield one
            if not below and not any_loose:
                raise ValueError(f"{path} holds no scores: {REMEDY}")
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"there is no file or folder {path}: {REMEDY}")


def _is_inside(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _read(file: Path, logs: LogReader) -> pa.Table | LogFile:
    """The columns that monitoring reads, in one set of types."""
    if file.suffix == JOURNAL:
        return logs.read(file)
    try:
        present = pq.read_schema(file).names
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no Parquet file: {error}; {REMEDY}") from None
    return logs.read(file) if is_log(present) else _read_scores(file, present)


def _read_scores(file: Path, present: list[str]) -> pa.Table:
    lacking = [name for name in NEEDED if name not in present]
    if lacking:
        raise ValueError(f"{file}: column {lacking[0]!r} is missing; {REMEDY}")
    answered = next((name for name in ANSWERED if name in present), None)
    wanted = [*NEEDED, *(name for name in (PROBABILITY, LABEL, answered) if name in present)]
    table = pq.read_table(file, columns=wanted)
    rows = table.num_rows
    moment = pa.timestamp("us", tz="UTC")
    time = table["order_time"].cast(moment)
    waited = pa.nulls(rows, pa.int64())
    if answered is not None:
        waited = pc.subtract(table[answered].cast(moment).cast(pa.int64()), time.cast(pa.int64()))
    order_id = table["order_id"]
    is_whole = pa.types.is_integer(order_id.type)
    return pa.table(
        {
            "order_id": order_id.cast(pa.int64() if is_whole else pa.string()),
            "time_us": time.cast(pa.int64()),
            "score": table["score"].cast(pa.float64()),
            "probability": table[PROBABILITY].cast(pa.float64())
            if PROBABILITY in wanted
            else pa.nulls(rows, pa.float64()),
            "label": table[LABEL].cast(pa.int8()) if LABEL in wanted else pa.nulls(rows, pa.int8()),
            "waited_us": waited,
            "model_digest": table["model_digest"],
        }
    )


def _each_once(tables: list[pa.Table], sources: dict[str, str], notes: list[str]) -> ScoredDays:
    """Orders in time order; of an order that was scored twice the last file's line counts."""
    types = {str(table["order_id"].type) for table in tables}
    if len(types) > 1:
        raise ValueError(f"order ids are numbers in some files and text in others ({', '.join(sources)})")
    table = pa.concat_tables([table.drop_columns("model_digest") for table in tables])
    order_id = table["order_id"].to_numpy()
    order_id = order_id.astype(np.str_) if order_id.dtype.kind == "O" else order_id
    last = order_id.size - 1 - np.unique(order_id[::-1], return_index=True)[1]
    if twice := order_id.size - last.size:
        notes = [*notes, f"{twice:,} lines repeat an order; its last one counts"]
    time = table["time_us"].to_numpy()
    kept = last[np.lexsort((order_id[last], time[last]))]
    label = pc.fill_null(table["label"], -1).to_numpy()
    return ScoredDays(
        order_id=order_id[kept],
        time_us=time[kept],
        score=table["score"].to_numpy()[kept],
        probability=pc.fill_null(table["probability"], np.nan).to_numpy()[kept],
        label=label[kept],
        waited_us=pc.fill_null(table["waited_us"], -1).to_numpy()[kept],
        sources=sources,
        notes=tuple(notes),
    )
