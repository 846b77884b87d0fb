"""Score files: the legacy's two columns of text, and one Parquet that says everything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.files import sha256, write_json
from tsa_model.scoring.model import CALIBRATOR_FILE
from tsa_model.scoring.table import ScoreTable, check_scores
from tsa_model.sealed import (
    Digest,
    ListedFile,
    Signed,
    check_files,
    check_together,
    list_files,
    read_sealed,
    with_seal,
)
from tsa_model.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from tsa_model.export.description import OnnxDescription

SCORE_FILE = "score_file.csv"
TAG_FILE = "tag_file.csv"
PARQUET_FILE = "scores.parquet"
MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.json"
MODEL_FOLDER = "model"
ROW_GROUP = 128 * 1024


class Provenance(Settings):
    """What made the scores; the same in every row of the Parquet."""

    run_id: str
    model_digest: str
    """SHA-256 of the ONNX file."""
    calibrator_digest: str | None
    """SHA-256 of the calibrator's parameters; None when there was too little data to calibrate on."""
    gate_id: str
    """The equivalence gate's verdict."""


class ListedScores(ListedFile):
    """A file of a score folder."""

    rows: NonNegativeInt | None = None
    """Of a score file."""


class ScoreManifest(Provenance, Signed):
    """What a score folder holds: the content of `manifest.json`."""

    format: Literal[2] = 2
    store_sha256: Digest
    """Of the manifest of the sequence store the model was trained on."""
    notes: tuple[str, ...] = ()
    """What was said of the orders while they were scored."""
    pairs: dict[str, str] = {}
    """Period → digest of its (order id, score) pairs as the session gave them; see `PairDigest`. Empty in
    folders of former versions."""
    files: dict[str, ListedScores]
    """Every other file of the folder."""


def provenance_of(description: OnnxDescription, folder: Path) -> Provenance:
    """Where the scores of a model folder come from.

    Args:
        description: the content of `onnx.json`.
        folder: the model folder with the calibrator, if there is one.
    """
    calibrator = folder / CALIBRATOR_FILE
    digest = sha256(calibrator) if calibrator.is_file() else None
    parts = (description.onnx_sha256, description.store_sha256, digest or "")
    return Provenance(
        # The same model and calibrator give the same scores, so they give the same id.
        run_id=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16],
        model_digest=description.onnx_sha256,
        calibrator_digest=digest,
        gate_id=description.verdict_id,
    )


def write_manifest(
    folder: Path,
    provenance: Provenance,
    counts: dict[str, dict[str, int]],
    store_sha256: str,
    pairs: dict[str, str],
    notes: Sequence[str] = (),
) -> str:
    """Write `manifest.json`: size and SHA-256 of every file, the rows of the score files, and provenance.

    Args:
        folder: with every other file in place.
        provenance: of the scores.
        counts: period → file → rows; the files of "test" lie at the top, the others' in folders.
        store_sha256: the store the model was trained on.
        pairs: period → digest of its pairs, taken while they were computed.
        notes: what was said of the orders.

    Returns:
        The digest the manifest states of itself.
    """
    rows = {
        name if period == "test" else f"{period}/{name}": n_rows
        for period, found in counts.items()
        for name, n_rows in found.items()
    }
    files = {
        name: ListedScores(**dict(file), rows=rows.get(name))
        for name, file in list_files(folder, (MANIFEST_FILE,)).items()
    }
    manifest = ScoreManifest(
        **dict(provenance), store_sha256=store_sha256, pairs=pairs, notes=tuple(notes), files=files
    )
    without = {"files": {name: {"rows"} for name, file in files.items() if file.rows is None}}
    content = with_seal(manifest.model_dump(mode="json", exclude=without))
    write_json(folder / MANIFEST_FILE, content)
    return str(content["sha256"])


def read_score_folder(folder: Path) -> ScoreManifest:
    """What a folder of scores holds, after checking every file of it.

    Raises:
        ValueError: a file is missing, was changed or is not listed; the message names it.
    """
    path, missing = folder / MANIFEST_FILE, f"{folder} is not the folder of scores"
    manifest = read_sealed(path, ScoreManifest, "the manifest of scores", missing)
    check_files(folder, manifest.files, (MANIFEST_FILE,), "score again")
    return manifest


def check_scored_with(
    folder: Path, manifest: ScoreManifest, model: Path, description: OnnxDescription
) -> None:
    """Hold the manifest of scores against the model folder they were made with.

    Args:
        folder: of the scores.
        manifest: its content.
        model: the model folder.
        description: the content of its `onnx.json`.

    Raises:
        ValueError: they do not belong together.
    """
    made, remedy = provenance_of(description, model), "take scores and model of the same run"
    path, about = folder / MANIFEST_FILE, model / DESCRIPTION_FILE
    pairs = {
        "the ONNX file is": (manifest.model_digest, made.model_digest),
        "the gate's verdict is": (manifest.gate_id, made.gate_id),
        "the calibrator is": (manifest.calibrator_digest or "", made.calibrator_digest or ""),
        "the run is": (manifest.run_id, made.run_id),
        "the sequence store is": (manifest.store_sha256, description.store_sha256),
    }
    for what, (found, expected) in pairs.items():
        check_together(what, (path, found), (about, expected), remedy)


def write_scores(table: ScoreTable, provenance: Provenance, folder: Path) -> dict[str, int]:
    """Write score file, tag file (when every label is known) and Parquet into a folder.

    Returns:
        File name → number of rows.

    Raises:
        ValueError: the table breaks the contract: an order twice, a value that is not in [0, 1].
    """
    import pyarrow.parquet as pq

    check_scores(table)
    folder.mkdir(parents=True, exist_ok=True)
    write_column(folder / SCORE_FILE, table.score)
    rows = {SCORE_FILE: table.score.size, PARQUET_FILE: table.score.size}
    if (table.label >= 0).all():
        write_column(folder / TAG_FILE, table.label)
        rows[TAG_FILE] = table.label.size
    pq.write_table(
        _arrow(table, provenance), folder / PARQUET_FILE, row_group_size=ROW_GROUP, write_page_checksum=True
    )
    return rows


def write_column(path: Path, values: NDArray[Any]) -> None:
    """One value a line, no header, in the shortest form that reads back as the same number."""
    import pyarrow as pa
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.table({"value": values}), path, options)


def _arrow(table: ScoreTable, provenance: Provenance) -> pa.Table:
    import pyarrow as pa

    n_rows = table.order_id.size
    dictionary = pa.dictionary(pa.int32(), pa.string())

    def constant(value: str | None) -> pa.Array:
        codes = pa.array(np.zeros(n_rows, np.int32)) if value is not None else pa.nulls(n_rows, pa.int32())
        return pa.DictionaryArray.from_arrays(codes, pa.array([value or ""], pa.string())).cast(dictionary)

    order_id = pa.array(table.order_id, pa.string() if table.order_id.dtype.kind == "U" else pa.int64())
    time = pa.array(table.order_time.astype("datetime64[us]"), pa.timestamp("us")).cast(
        pa.timestamp("us", tz="UTC")
    )

    def optional(values: NDArray[np.float64] | None) -> pa.Array:
        return pa.nulls(n_rows, pa.float64()) if values is None else pa.array(values, pa.float64())

    return pa.table(
        {
            "order_id": order_id,
            "order_time": time,
            "score": pa.array(table.score, pa.float32()),
            "percentile": optional(table.percentile),
            "calibrated_probability": optional(table.probability),
            "label": pa.array(table.label.astype(np.int8), pa.int8(), mask=table.label < 0),
            "model_digest": constant(provenance.model_digest),
            "calibrator_digest": constant(provenance.calibrator_digest),
            "gate_id": constant(provenance.gate_id),
            "run_id": constant(provenance.run_id),
        }
    )
