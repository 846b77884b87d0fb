"""One small run of every stage, laid out as a run, and artifacts of another one that fit none of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from support.batches import tiny_network
from support.small_training import small_run
from support.stages import run_stages, stage_metadata
from support.verdicts import write_contract, write_verdict

from tsa_model.equivalence import Verdict
from tsa_model.equivalence.results import read_verdict
from tsa_model.files import sha256
from tsa_model.network.checkpoint import save_model
from tsa_model.promotion import compare_champion
from tsa_model.sequences import SequenceStore, build_sequences
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training.runner import model_config


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
    "online": "check-online/result",
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
    """Of the score files, as Kubeflow would store them."""


def make_chain(folder: Path) -> None:
    """Make both in a folder."""
    run = small_run()
    run_stages(folder / "run", run.model_dump_json())
    _until_the_verdict(run, _orders(run)[:-1], Places(folder / "other"))


def read_chain(folder: Path) -> Chain:
    """What `make_chain` made."""
    run, places = small_run(), Places(folder / "run")
    metrics = stage_metadata(places.folder)["generate_scores"]["scores"]
    return Chain(run, _orders(run), places, Places(folder / "other"), read_verdict(places.verdict), metrics)


def _orders(run: RunConfig) -> pd.DataFrame:
    assert run.simulation is not None
    return simulate_orders(run.simulation)


def compare(places: Places, run: RunConfig, champion: str = "", promote: bool = False) -> None:
    """The last stage of a run."""
    results = [places.events_result, places.store_result, places.scores_result, places.online]
    outputs = places.comparison, places.comparison_report
    compare_champion(places.events, places.scores, places.verdict, results, run, champion, promote, *outputs)


def _until_the_verdict(run: RunConfig, orders: pd.DataFrame, places: Places) -> None:
    """What another run has when it is exported; its checks are taken as passed."""
    places.events.mkdir(parents=True)
    orders.to_parquet(places.events / "events.parquet")
    events = sha256(places.events / "events.parquet")
    write_contract(places.events_result, "raw events", events_sha256=events)
    build_sequences(places.events, run, places.store)
    store = SequenceStore.open(places.store)
    write_contract(places.store_result, "sequences", events_sha256=events, store_sha256=store.digest)
    save_model(tiny_network(model_config(run, store)), places.model, {"store_digest": store.digest})
    write_verdict(places.store, places.model, places.verdict)
