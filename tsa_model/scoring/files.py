"""Score files: the legacy's two columns of text, and one Parquet that says everything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

SCORE_FILE = "score_file.csv"
TAG_FILE = "tag_file.csv"
PARQUET_FILE = "scores.parquet"
ROW_GROUP = 128 * 1024


@dataclass(frozen=True)
class Provenance:
    """What made the scores; the same in every row of the Parquet."""

    run_id: str
    model_digest: str
    """SHA-256 of the ONNX file."""
    calibrator_digest: str | None
    """SHA-256 of the calibrator's parameters; None when there was too little data to calibrate on."""
    gate_id: str
    """The equivalence gate's verdict."""


@dataclass(frozen=True)
class ScoreTable:
    """N scored orders, aligned."""

    order_id: NDArray[Any]
    order_time: NDArray[Any]
    """[N] datetime64[us], UTC."""
    score: NDArray[np.float32]
    percentile: NDArray[np.float64]
    probability: NDArray[np.float64] | None
    """Calibrated; None without a calibrator."""
    label: NDArray[np.int64]
    """0, 1, or -1 where it is not known."""


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


def check_scores(table: ScoreTable) -> None:
    """Hold a table to the contract of the score files.

    Raises:
        ValueError: columns differ in length, an order is there twice, or a value is not in [0, 1].
    """
    n_rows = table.order_id.size
    columns: dict[str, NDArray[Any]] = {"score": table.score, "percentile": table.percentile}
    if table.probability is not None:
        columns["probability"] = table.probability
    for name, values in columns.items():
        bad = ~((values >= 0) & (values <= 1))
        if values.size != n_rows or bad.any():
            example = f", for example {values[bad][0]}" if bad.any() else ""
            raise ValueError(
                f"{name}: {values.size} values for {n_rows} orders, {int(bad.sum())} not in [0, 1]{example}"
            )
    distinct, count = np.unique(table.order_id, return_counts=True)
    if distinct.size != n_rows:
        raise ValueError(f"order {distinct[count > 1][0]!r} would be scored {count.max()} times")
    if table.label.size != n_rows or table.order_time.size != n_rows:
        raise ValueError(f"{table.label.size} labels and {table.order_time.size} times for {n_rows} orders")


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
    probability = pa.nulls(n_rows, pa.float64()) if table.probability is None else pa.array(table.probability)
    return pa.table(
        {
            "order_id": order_id,
            "order_time": time,
            "score": pa.array(table.score, pa.float32()),
            "percentile": pa.array(table.percentile, pa.float64()),
            "calibrated_probability": probability,
            "label": pa.array(table.label.astype(np.int8), pa.int8(), mask=table.label < 0),
            "model_digest": constant(provenance.model_digest),
            "calibrator_digest": constant(provenance.calibrator_digest),
            "gate_id": constant(provenance.gate_id),
            "run_id": constant(provenance.run_id),
        }
    )
