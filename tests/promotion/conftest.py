"""Two exported models of one data set: one that was trained, one that was not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.small_training import small_run

from tsa_model.calibration import PercentileMap
from tsa_model.export import export_onnx
from tsa_model.network.checkpoint import load_model, read_description, save_model
from tsa_model.scoring.model import ScoringModel, write_model_folder
from tsa_model.sequences import SequenceStore
from tsa_model.simulation import simulate_orders
from tsa_model.training import train_model


@dataclass
class Candidate:
    """A model folder and its proofs."""

    model: Path
    verdict: Path


@dataclass
class World:
    """Orders, a trained model and an untrained one."""

    events: Path
    contracts: list[Path]
    good: Candidate
    bad: Candidate


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("promotion")
    run = small_run(sequences="single", max_epochs=6, max_learning_rate=0.01)
    assert run.simulation is not None
    orders = simulate_orders(run.simulation)
    pd.DataFrame(orders).to_parquet(folder / "events.parquet")
    SequenceStore.build(folder / "events.parquet", run.dataset, folder / "store")
    train_model(folder / "store", run, folder / "good", folder / "log")
    network = load_model(folder / "good")
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter.data, std=0.1)
    save_model(network, folder / "bad", {})

    def candidate(name: str) -> Candidate:
        verdict = folder / f"{name}-verdict.json"
        content = {
            "passed": True,
            "verdict_id": f"verdict-{name}",
            "weights_sha256": read_description(folder / name).weights_sha256,
        }
        verdict.write_text(json.dumps(content))
        export_onnx(folder / "store", folder / name, verdict, run, folder / f"{name}-onnx")
        model = ScoringModel.load(folder / f"{name}-onnx")
        (folder / f"{name}-model").mkdir()
        percentiles = PercentileMap.fit(np.linspace(0, 1, 100, dtype=np.float32))
        write_model_folder(model, percentiles, None, folder / f"{name}-model")
        return Candidate(folder / f"{name}-model", verdict)

    contracts = []
    store = SequenceStore.open(folder / "store").digest
    for subject in ("raw events", "sequences", "scores"):
        contracts.append(folder / f"{subject} contract.json")
        about = {} if subject == "raw events" else {"store_sha256": store}
        result = {"contract": subject, "dataset": "demo", "passed": True, **about}
        contracts[-1].write_text(json.dumps(result))
    return World(folder / "events.parquet", contracts, candidate("good"), candidate("bad"))
