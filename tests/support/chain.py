"""One tiny run from orders to a comparison, laid out as a run; the gate's checks are taken as passed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support.batches import tiny_network
from support.shared import made_once
from support.small_training import small_run
from support.verdicts import write_contract, write_verdict

from tsa_model.equivalence import Verdict
from tsa_model.equivalence.results import read_verdict
from tsa_model.export.stage import export_onnx
from tsa_model.files import sha256, write_json
from tsa_model.network.checkpoint import save_model
from tsa_model.promotion import compare_champion
from tsa_model.scoring import generate_scores
from tsa_model.scoring.files import read_score_folder
from tsa_model.sequences import SequenceStore, build_sequences
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training.runner import model_config

METRICS = "metrics.json"


@dataclass(frozen=True)
class Places:
    """Where the artifacts of a run lie."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / "stages" / PLACES[name]


PLACES = {
    "events": "validate-events/validated",
    "events_result": "validate-events/result",
    "store": "build-sequences/store",
    "store_result": "build-sequences/result",
    "model": "train-model/model",
    "verdict": "check-equivalence/verdict",
    "onnx": "export-onnx/onnx",
    "scores": "generate-scores/scores",
    "report": "generate-scores/report",
    "scores_result": "generate-scores/contract_result",
    "comparison": "compare-champion/comparison",
    "comparison_report": "compare-champion/report",
}


@dataclass(frozen=True)
class Chain:
    """A run, and artifacts of another run over the same data set that fit none of its own."""

    run: RunConfig
    orders: pd.DataFrame
    places: Places
    other: Places
    """Its events, store, model and verdict; made of the same orders but one, with other weights."""
    verdict: Verdict
    metrics: dict


def shared_chain(factory: pytest.TempPathFactory) -> Chain:
    """The run and the other, made once for all test processes."""
    return read_chain(made_once(factory, "chain", make_chain))


def make_chain(folder: Path) -> None:
    """Build both in a folder."""
    run, places, other = small_run(), Places(folder / "run"), Places(folder / "other")
    orders = _orders(run)
    _until_the_verdict(run, orders, places, seed=0)
    _until_the_verdict(run, orders[:-1], other, seed=1)
    export_onnx(places.store, places.model, places.verdict, run, places.onnx)
    metrics = generate_scores(places.store, places.onnx, run, places.scores, places.report)
    write_json(folder / METRICS, metrics)
    manifest, store = read_score_folder(places.scores), SequenceStore.open(places.store).digest
    about = {"store_sha256": store, "model_digest": manifest.model_digest, "scores_sha256": manifest.sha256}
    write_contract(places.scores_result, "scores", **about)
    compare(places, run)


def read_chain(folder: Path) -> Chain:
    """What `make_chain` built."""
    run, places = small_run(), Places(folder / "run")
    metrics = json.loads((folder / METRICS).read_text())
    return Chain(run, _orders(run), places, Places(folder / "other"), read_verdict(places.verdict), metrics)


def _orders(run: RunConfig) -> pd.DataFrame:
    assert run.simulation is not None
    return simulate_orders(run.simulation)


def compare(places: Places, run: RunConfig, champion: str = "", promote: bool = False) -> None:
    """The last stage of a run."""
    results = [places.events_result, places.store_result, places.scores_result]
    outputs = places.comparison, places.comparison_report
    compare_champion(places.events, places.scores, places.verdict, results, run, champion, promote, *outputs)


def _until_the_verdict(run: RunConfig, orders: pd.DataFrame, places: Places, seed: int) -> None:
    places.events.mkdir(parents=True)
    orders.to_parquet(places.events / "events.parquet")
    events = sha256(places.events / "events.parquet")
    write_contract(places.events_result, "raw events", events_sha256=events)
    build_sequences(places.events, run, places.store)
    store = SequenceStore.open(places.store)
    write_contract(places.store_result, "sequences", events_sha256=events, store_sha256=store.digest)
    network = tiny_network(model_config(run, store), seed)
    save_model(network, places.model, {"store_digest": store.digest})
    write_verdict(places.store, places.model, places.verdict)
