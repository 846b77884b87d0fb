"""A period without fraud, or with nothing else, is scored like any other and says so in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.exported import change_model
from support.scored_run import Scored

from data_contracts.scores import validate_scores
from tsa_model.scoring import generate_scores
from tsa_model.sequences import SequenceStore


def exported_for(store: SequenceStore, scored: Scored, folder: Path) -> Path:
    """The exported model as of a store that differs from its own in later labels alone."""
    fitted = "preprocessing.json"
    assert (store.directory / fitted).read_bytes() == (scored.onnx / fitted).read_bytes()
    shutil.copytree(scored.onnx, folder)
    change_model(folder, lambda model: None, store_sha256=store.digest)
    return folder


@pytest.mark.parametrize(
    ("period", "label"),
    [
        ("test", 0),
        *(
            pytest.param(period, label, marks=pytest.mark.slow)
            for period, label in (("test", 1), ("vali", 0), ("vali", 1), ("cali", 0), ("cali", 1))
        ),
    ],
)
def test_a_period_of_one_class_is_scored(scored: Scored, tmp_path: Path, period: str, label: int) -> None:
    run, folder = scored.run, tmp_path
    events = pd.DataFrame(scored.events).copy()
    start, end = (moment.timestamp() for moment in run.dataset.split.window(period))
    events.loc[events["order_time"].between(start, end, inclusive="left"), "label"] = label
    store = SequenceStore.build(events, run.dataset, folder / "store")
    assert set(store.labels(period)) == {label}
    exported = exported_for(store, scored, folder / "onnx")
    metrics = generate_scores(folder / "store", exported, run, folder / "scores", folder / "report.html")
    validate_scores(folder / "scores", folder / "store", run, folder / "page.html", folder / "result.json")
    assert json.loads((folder / "result.json").read_text())["passed"] is True
    report = (folder / "report.html").read_text()
    lacking = "fraud" if label == 0 else "genuine order"
    count = f"{store.targets(period).size:,}"
    if period == "test":
        assert f"no {lacking} among the {count} test labels" in metrics["key_figure"]
        assert f"no {lacking} among the {count} test labels" in report
        assert "test" not in metrics
    else:
        assert "test AUC" in metrics["key_figure"]
    if period == "cali":
        assert metrics["calibration"].startswith("none: ")
    assert ">nan" not in report.lower()
