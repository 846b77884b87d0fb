"""Two exported models of one data set: one that was trained, one that was not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.shared import SharedFolder
from support.small_training import small_run
from support.verdicts import write_contract, write_verdict

from tsa_model.calibration import PercentileMap
from tsa_model.export import export_onnx
from tsa_model.files import sha256
from tsa_model.network.checkpoint import load_model, save_model
from tsa_model.scoring.model import ScoringModel, write_model_folder
from tsa_model.sequences import SequenceStore, build_sequences
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training import train_model


@dataclass
class Candidate:
    """A model folder and its proofs."""

    model: Path
    verdict: Path
    contracts: list[Path]
    """Results of the contracts of events, sequences and scores."""


CONTRACTS = ("raw events", "sequences", "scores", "online")


@dataclass
class World:
    """Orders, a trained model and an untrained one."""

    events: Path
    contracts: list[Path]
    """Those of the trained model."""
    good: Candidate
    bad: Candidate


@pytest.fixture(scope="session")
def world(shared_folder: SharedFolder) -> World:
    folder = shared_folder("promotion", make_world)
    good, bad = (_candidate(folder, name) for name in ("good", "bad"))
    return World(folder / "events.parquet", good.contracts, good, bad)


def make_world(folder: Path) -> None:
    """Train a network, spoil a copy of it, and export both with proofs."""
    run = small_run(sequences="single", max_epochs=6, max_learning_rate=0.01)
    assert run.simulation is not None
    orders = simulate_orders(run.simulation)
    pd.DataFrame(orders).to_parquet(folder / "events.parquet")
    build_sequences(folder / "events.parquet", run, folder / "store")
    train_model(folder / "store", run, folder / "good", folder / "log")
    network = load_model(folder / "good")
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter.data, std=0.1)
    save_model(network, folder / "bad", {})
    for name in ("good", "bad"):
        _export(folder, name, run)


def _candidate(folder: Path, name: str) -> Candidate:
    contracts = [folder / f"{name} {contract} contract.json" for contract in CONTRACTS]
    return Candidate(folder / f"{name}-model", folder / f"{name}-verdict.json", contracts)


def _export(folder: Path, name: str, run: RunConfig) -> None:
    candidate = _candidate(folder, name)
    write_verdict(folder / "store", folder / name, candidate.verdict)
    export_onnx(folder / "store", folder / name, candidate.verdict, run, folder / f"{name}-onnx")
    model = ScoringModel.load(folder / f"{name}-onnx")
    candidate.model.mkdir()
    percentiles = PercentileMap.fit(np.linspace(0, 1, 100, dtype=np.float32))
    write_model_folder(model, percentiles, None, candidate.model)
    events, store = sha256(folder / "events.parquet"), SequenceStore.open(folder / "store").digest
    about = {
        "raw events": {"events_sha256": events},
        "sequences": {"events_sha256": events, "store_sha256": store},
        "scores": {"store_sha256": store, "model_digest": model.description.onnx_sha256},
    }
    about["online"] = about["scores"] | {"events_sha256": events}
    for contract, path in zip(CONTRACTS, candidate.contracts, strict=True):
        write_contract(path, contract, **about[contract])
