"""A folder of score files that can be spoiled, its manifest too, and the list of faults in such folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FOLDERS = {"test": ".", "cali": "cali", "vali": "vali"}
HOUR_US = 3_600_000_000


class ScoreFolder:
    """A folder of score files that can be changed as a faulty program would have written it.

    The digests that the manifest lists are made anew after each change. Those of the pairs are not, because
    they come from the session.
    """

    def __init__(self, folder: Path, report: Path) -> None:
        self.folder, self.report = folder, report

    def path(self, period: str, name: str) -> Path:
        """A file of a period."""
        return self.folder / FOLDERS[period] / name

    def frame(self, period: str = "test") -> pd.DataFrame:
        """The content of a period's Parquet."""
        return pq.read_table(self.path(period, "scores.parquet")).to_pandas()

    def write(self, frame: pd.DataFrame, period: str = "test", lines: bool = True) -> None:
        """Write a period's Parquet and, unless `lines` is false, its two files of lines."""
        path = self.path(period, "scores.parquet")
        schema = pq.read_schema(path)
        columns = {name: pa.array(frame[name], from_pandas=True) for name in schema.names}
        table = pa.table({name: values.cast(schema.field(name).type) for name, values in columns.items()})
        pq.write_table(table, path, write_page_checksum=True)
        if lines:
            for name, column in (("score_file.csv", "score"), ("tag_file.csv", "label")):
                text = "".join(f"{value}\n" for value in frame[column].tolist())
                if column == "score":
                    text = "".join(f"{value!s}\n" for value in frame[column].to_numpy(np.float32))
                self.path(period, name).write_text(text)
        self.seal()

    def change(self, columns: Callable[[pd.DataFrame], dict[str, Any]], period: str = "test") -> None:
        """Give some columns of a period other values."""
        frame = self.frame(period)
        self.write(frame.assign(**columns(frame)), period)

    def metrics(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change `metrics.json`."""
        path = self.folder / "metrics.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        self.seal()

    def manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest itself."""
        from tsa_model.sealed import with_seal

        path = self.folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        sealed = content.pop("sha256", None) is not None
        path.write_text(json.dumps(with_seal(content) if sealed else content))

    def seal(self) -> None:
        """List every file of the folder as it is now."""
        from tsa_model.sealed import list_files

        def relist(content: dict[str, Any]) -> None:
            files = list_files(self.folder, ("manifest.json",))
            for name, file in files.items():
                entry = content["files"].setdefault(name, {})
                entry |= {"bytes": file.bytes, "sha256": file.sha256}
                if name.endswith("scores.parquet"):
                    entry["rows"] = pq.read_metadata(self.folder / name).num_rows
            content["files"] = {name: entry for name, entry in content["files"].items() if name in files}

        self.manifest(relist)

    def curves(self, period: str = "cali") -> tuple[Any, Any]:
        """Percentile map and calibrator fitted on a period's file."""
        from tsa_model.calibration import PercentileMap, fit_calibrator

        frame = self.frame(period)
        scores, labels = frame["score"].to_numpy(), frame["label"].to_numpy(np.int64)
        return PercentileMap.fit(scores), fit_calibrator("spline", scores, labels)

    def rescore(self, score: np.ndarray, period: str = "test") -> None:
        """Other scores, with the percentiles and probabilities that belong to them."""
        from tsa_model.calibration import PercentileMap, load_calibrator

        model, values = self.folder / "model", score.astype(np.float32)
        columns = {
            "score": values,
            "percentile": PercentileMap.load(model / "percentile_map.json").percentile(values),
        }
        if (path := model / "calibration.json").is_file():
            columns["calibrated_probability"] = load_calibrator(path).probability(values)
        self.change(lambda _: columns, period)


@dataclass(frozen=True)
class FileFault:
    """One fault.

    Attributes:
        name: what is wrong.
        spoil: changes a folder of score files.
    """

    name: str
    spoil: Callable[[ScoreFolder], None]


FILE_FAULTS: list[FileFault] = []


def fault(name: str) -> Callable[[Callable[[ScoreFolder], None]], Callable[[ScoreFolder], None]]:
    """Add a function to the catalogue."""

    def add(spoil: Callable[[ScoreFolder], None]) -> Callable[[ScoreFolder], None]:
        FILE_FAULTS.append(FileFault(name, spoil))
        return spoil

    return add


def scores_of(folder: ScoreFolder, period: str = "test") -> np.ndarray:
    """A period's scores, to be changed."""
    return folder.frame(period)["score"].to_numpy().copy()


def relist_model(folder: ScoreFolder) -> None:
    """List the files of the model folder as they are now."""
    from tsa_model.export.description import OnnxDescription, write_description

    model = folder.folder / "model"
    content = json.loads((model / "onnx.json").read_text())
    content.pop("sha256", None)
    write_description(OnnxDescription.model_validate_json(json.dumps(content)), model)
