"""One small exported model with its store and its score files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support.batches import tiny_network
from support.shared import made_once
from support.small_training import small_run

from tsa_model.export.stage import export_onnx
from tsa_model.files import write_json
from tsa_model.network.checkpoint import read_description, save_model
from tsa_model.scoring import generate_scores
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training.runner import model_config


@dataclass(frozen=True)
class Scored:
    """Everything a scored run left behind."""

    run: RunConfig
    events: pd.DataFrame
    store: SequenceStore
    onnx: Path
    scores: Path
    report: Path
    metrics: dict


def scored_run(factory: pytest.TempPathFactory) -> Scored:
    """The run, made once for all test processes: an export takes longer than all that reads it."""
    run = small_run()
    assert run.simulation is not None
    events = simulate_orders(run.simulation)

    def make(folder: Path) -> None:
        store = SequenceStore.build(events, run.dataset, folder / "store")
        save_model(tiny_network(model_config(run, store)), folder / "model")
        weights = read_description(folder / "model").weights_sha256
        write_json(folder / "verdict.json", {"passed": True, "verdict_id": "v1", "weights_sha256": weights})
        export_onnx(folder / "store", folder / "model", folder / "verdict.json", run, folder / "onnx")
        metrics = generate_scores(
            folder / "store", folder / "onnx", run, folder / "scores", folder / "report.html"
        )
        write_json(folder / "metrics.json", metrics)

    folder = made_once(factory, "scored", make)
    metrics = json.loads((folder / "metrics.json").read_text())
    store = SequenceStore.open(folder / "store")
    return Scored(run, events, store, folder / "onnx", folder / "scores", folder / "report.html", metrics)
