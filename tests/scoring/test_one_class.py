"""A period without fraud, or with nothing else, is scored like any other and says so in words."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from support.batches import tiny_network

from data_contracts.scores import validate_scores
from tsa_model.export.stage import export_onnx
from tsa_model.files import write_json
from tsa_model.network.checkpoint import read_description, save_model
from tsa_model.scoring import generate_scores
from tsa_model.sequences import SequenceStore
from tsa_model.training.runner import model_config


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
def test_a_period_of_one_class_is_scored(scored, tmp_path: Path, period: str, label: int) -> None:
    run, folder = scored.run, tmp_path
    events = pd.DataFrame(scored.events).copy()
    start, end = (moment.timestamp() for moment in run.dataset.split.window(period))
    events.loc[events["order_time"].between(start, end, inclusive="left"), "label"] = label
    store = SequenceStore.build(events, run.dataset, folder / "store")
    assert set(store.labels(period)) == {label}
    save_model(tiny_network(model_config(run, store)), folder / "model")
    weights = read_description(folder / "model").weights_sha256
    write_json(folder / "verdict.json", {"passed": True, "verdict_id": "v1", "weights_sha256": weights})
    export_onnx(folder / "store", folder / "model", folder / "verdict.json", run, folder / "onnx")
    metrics = generate_scores(
        folder / "store", folder / "onnx", run, folder / "scores", folder / "report.html"
    )
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
