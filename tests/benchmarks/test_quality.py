"""The quality benchmark: every model sees what it should, and differences are paired."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from support.small_training import small_run

from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelSettings
from tsa_model.simulation import simulate_orders

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def quality():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("quality")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def run():
    small = small_run("single")
    dataset = small.dataset.changed(
        windows=[{"name": "n", "key": "customer", "statistic": "count", "days": [7]}],
        lags=[{"name": "gap", "key": "customer", "statistic": "gap", "log": True}],
        logs=["amount"],
        numerical=["amount", "log_amount", "items"],
        engineered=["n_7d", "gap_1", "is_night"],
        categorical=["device"],
        known_label=True,
    )
    return small.changed(dataset=dataset)


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    return SequenceStore.build(
        simulate_orders(run.simulation), run.dataset, tmp_path_factory.mktemp("quality") / "store"
    )


def test_rivals_see_the_columns_they_are_named_after(quality, run, store):
    columns = quality.read_columns(store, store.targets("test"))
    names = ["n_7d", "gap_1", "is_night", "amount", "log_amount", "items", "device", "known_label"]
    assert columns.names == names
    own, windows, lags = (columns.of(kinds, run) for kinds in (set(), {"windows"}, {"windows", "lags"}))
    assert (own.shape[1], windows.shape[1], lags.shape[1]) == (5, 6, 8)
    np.testing.assert_array_equal(windows[:, 0], columns.values[:, 0])
    np.testing.assert_array_equal(lags, columns.values)
    assert np.unique(columns.values[:, -1]).size == 1, "an order's own label is never known"


def test_the_variants_are_the_presets(quality, run):
    assert quality.variant("tsa", run) == run
    recommended = quality.variant("tsa_recommended", run).model
    assert recommended == ModelSettings.preset("recommended").changed(sequences="single")
    legacy = quality.variant("tsa_legacy", run).model
    assert (legacy.wide_hidden_dim, legacy.embedding_std) == (0, 1.0)
    assert legacy.dim_embedding_table == recommended.dim_embedding_table


def test_differences_are_of_the_first_tsa(quality):
    label = np.repeat([0, 1], [300, 100])
    score = np.random.default_rng(0).normal(size=400)
    scores = {"lightgbm": score + label, "tsa": score + 2 * label}
    found = quality.differences(Namespace(resamples=50), label, scores)
    value, low, high = found["lightgbm"]["average_precision"]
    assert 0 < low < value < high
    assert set(found) == {"lightgbm"}


@pytest.mark.slow
def test_the_whole_benchmark_on_what_init_writes(tmp_path):
    out = tmp_path / "out.json"
    words = ["--simulate", "orders", "--epochs", "1", "--models", "tsa_recommended", "logistic_regression"]
    command = [sys.executable, str(BENCHMARKS / "quality.py"), *words, "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent, timeout=1800)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert set(result["models"]) == {"tsa_recommended", "logistic_regression"}
    assert "| logistic_regression |" in done.stdout
