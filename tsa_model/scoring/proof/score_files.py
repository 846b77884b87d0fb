"""The score files of a folder, read again: one period after the other, as they lie on disk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.scoring.files import (
    MANIFEST_FILE,
    PARQUET_FILE,
    SCORE_FILE,
    TAG_FILE,
    Provenance,
    ScoreManifest,
    read_score_folder,
)
from tsa_model.scoring.pairs import PairDigest
from tsa_model.scoring.proof.statement import Statement, about_files, about_orders

if TYPE_CHECKING:
    import pyarrow as pa

CHARACTERS = 2**20
"""Of a file of lines that are compared at a time."""
FOLDERS = {"vali": "vali", "cali": "cali", "test": "."}
"""Scored period → folder inside the score folder."""


@dataclass(frozen=True)
class ScoreFile:
    """The Parquet of one period: N orders, aligned."""

    period: str
    folder: Path
    order_id: NDArray[Any]
    """int64, or text."""
    time_us: NDArray[np.int64]
    score: NDArray[np.float32]
    percentile: NDArray[np.float64] | None
    """None where every one is missing."""
    probability: NDArray[np.float64] | None
    """None where every one is missing."""
    label: NDArray[np.int64]
    """-1 = not known."""
    origin: dict[str, list[str | None]]
    """Column of the provenance → its distinct values."""

    def __len__(self) -> int:
        return len(self.order_id)

    @classmethod
    def read(cls, folder: Path, period: str) -> ScoreFile:
        """Read `scores.parquet` of a folder.

        Raises:
            ValueError: a column is missing or of another type than is written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = folder / PARQUET_FILE
        table = pq.read_table(path, page_checksum_verification=True)
        types = {
            "order_id": (pa.int64(), pa.string(), pa.large_string()),
            "order_time": (pa.timestamp("us", tz="UTC"),),
            "score": (pa.float32(),),
            "percentile": (pa.float64(),),
            "calibrated_probability": (pa.float64(),),
            "label": (pa.int8(),),
        }
        for name, allowed in types.items():
            found = table.schema.field(name).type if name in table.column_names else "missing"
            if found not in allowed:
                raise ValueError(f"{path}: column {name} is {found}, expected {allowed[0]}")
        if table["order_id"].null_count or table["score"].null_count or table["order_time"].null_count:
            raise ValueError(f"{path}: an order id, a time or a score is missing")

        labels = table["label"].drop_null().unique().to_pylist()
        if not set(labels) <= {0, 1}:
            raise ValueError(f"{path}: a label is {labels}, expected 0, 1, or none where it is not known")

        def optional(name: str) -> NDArray[np.float64] | None:
            column = table[name]
            return None if column.null_count == len(column) else column.to_numpy()

        ids = table["order_id"].to_numpy()
        return cls(
            period=period,
            folder=folder,
            order_id=ids if ids.dtype.kind == "i" else ids.astype(np.str_),
            time_us=table["order_time"].cast(pa.int64()).to_numpy(),
            score=table["score"].to_numpy(),
            percentile=optional("percentile"),
            probability=optional("calibrated_probability"),
            label=table["label"].cast(pa.int64()).fill_null(-1).to_numpy(),
            origin={
                name: _distinct_texts(table[name])
                for name in Provenance.model_fields
                if name in table.column_names
            },
        )


def _distinct_texts(column: pa.ChunkedArray) -> list[str | None]:
    """The values of a column as text, each once; a digest that a million rows share is written once."""
    return [
        *dict.fromkeys(text for chunk in column.chunks for text in chunk.unique().cast("string").to_pylist())
    ]


def read_score_files(scores_dir: Path, periods: Collection[str]) -> tuple[ScoreManifest, list[ScoreFile]]:
    """The manifest and every period's Parquet, the periods in the order of `FOLDERS`.

    Args:
        scores_dir: the folder.
        periods: those it must hold.

    Raises:
        ValueError: a file is missing, was changed or is not listed, or holds other columns or periods.
    """
    path, manifest = scores_dir / MANIFEST_FILE, read_score_folder(scores_dir)
    if set(manifest.pairs) != set(periods):
        found, wanted = ", ".join(manifest.pairs) or "none", ", ".join(periods)
        raise ValueError(f"{path} has digests of the pairs of {found}, expected {wanted}: score again")
    files = [ScoreFile.read(scores_dir / FOLDERS[period], period) for period in FOLDERS if period in periods]
    return manifest, files


def check_written(manifest: ScoreManifest, file: ScoreFile) -> list[Statement]:
    """What can be said of a period's files without events and model."""
    known = bool((file.label >= 0).all())
    listed = manifest.files.get(_name(file, PARQUET_FILE))
    rows = None if listed is None else listed.rows
    return [
        about_files(
            "every period has as many scores as its manifest says",
            "" if rows == len(file) else f"{file.period}: {len(file):,} rows, the manifest says {rows}",
        ),
        _pairs(manifest, file),
        _in_order(file),
        about_orders(
            "every line of the score file is the score of the same row of the Parquet",
            file.order_id,
            differing_lines(file.folder / SCORE_FILE, file.score),
            lambda place: f"the Parquet has {file.score[place]!r}, line {place + 1} of {SCORE_FILE} another",
        ),
        about_orders(
            "every line of the tag file is the label of the same row of the Parquet",
            file.order_id,
            differing_lines(file.folder / TAG_FILE, file.label) if known else np.zeros(len(file), bool),
            lambda place: f"the Parquet has {file.label[place]}, line {place + 1} of {TAG_FILE} another",
        ),
        _origin(manifest, file),
    ]


def _name(file: ScoreFile, name: str) -> str:
    return name if FOLDERS[file.period] == "." else f"{FOLDERS[file.period]}/{name}"


def _pairs(manifest: ScoreManifest, file: ScoreFile) -> Statement:
    """Two digests of the same pairs: of what the session returned, and of what lies in the file."""
    computed, found = manifest.pairs[file.period], str(PairDigest.of(file.order_id, file.score))
    detail = f"{file.period}: the file has {found}, the session gave {computed}"
    return about_files(
        "every order has the score that the session computed for it", "" if found == computed else detail
    )


def _in_order(file: ScoreFile) -> Statement:
    time, ids = file.time_us, file.order_id
    ascending = (time[1:] > time[:-1]) | ((time[1:] == time[:-1]) & (ids[1:] > ids[:-1]))
    wrong = np.append(False, ~ascending) if len(file) else np.zeros(0, bool)
    return about_orders(
        "orders stand in the order of their times, each once",
        ids,
        wrong,
        lambda place: f"row {place + 1} is not after row {place}",
    )


def differing_lines(path: Path, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which lines of a one-column file are not these values, [N]; all of them when their number differs."""
    if not path.is_file():
        return np.ones(len(values), bool)
    wrong, n_lines = np.ones(max(1, len(values)), bool), 0
    with open(path, encoding="utf-8") as stream:
        while read := stream.readlines(CHARACTERS):
            lines = np.array("".join(read).split(), dtype=values.dtype)
            beside = values[n_lines : n_lines + len(lines)]
            if len(beside) < len(lines):
                return np.ones_like(wrong)
            wrong[n_lines : n_lines + len(lines)] = lines != beside
            n_lines += len(lines)
    return wrong[: len(values)] if n_lines == len(values) else np.ones_like(wrong)


def _origin(manifest: ScoreManifest, file: ScoreFile) -> Statement:
    expected = {name: [getattr(manifest, name)] for name in Provenance.model_fields}
    wrong = [name for name in expected if len(file) and file.origin.get(name) != expected[name]]
    detail = "; ".join(f"{file.period}: {name} is {file.origin.get(name)}" for name in wrong)
    return about_files("every row names the model that the manifest names", detail)
