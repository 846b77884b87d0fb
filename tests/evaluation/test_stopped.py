"""Figures where a policy stopped orders: weighted ones are those of all orders, plain ones are not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsa_model.sequences.features.stopped import passing_weights, repetitions
from tsa_model.settings.simulation import SimulationConfig, StoppingPolicy
from tsa_model.settings.stopping import Stopping
from tsa_model.simulation import simulate_orders, simulate_orders_and_patterns
from tsa_model.simulation.simulator import is_fraud

STOPPING = Stopping(probability="p")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("stopped")
    sys.path.remove(str(BENCHMARKS))


def test_weighted_intervals_hold_the_truth_and_plain_ones_do_not(benchmark) -> None:
    found = benchmark.coverage(trials=12, orders=8000, resamples=60)
    assert 0.4 < found.stopped_frauds < 0.6
    assert found.weighted >= 0.75
    assert found.plain == 0
    assert abs(found.mean_weighted - found.truth) < 0.03 < abs(found.mean_plain - found.truth)


@pytest.mark.slow
def test_weighted_intervals_hold_the_truth_in_nine_of_ten_trials(benchmark) -> None:
    found = benchmark.coverage(trials=100, orders=20_000, resamples=200)
    assert found.weighted >= 0.9
    assert found.plain < 0.1


def test_a_weight_is_the_inverse_of_the_chance_to_pass() -> None:
    probability = np.array([0.0, 0.5, 0.9, 0.99, 1.0, np.nan])
    assert passing_weights(probability, STOPPING).tolist() == pytest.approx([1, 2, 10, 20, 20, 1])
    assert passing_weights(probability, STOPPING.changed(most_weight=5))[2] == 5
    with pytest.raises(ValueError, match=r"column p: 1\.2 is no probability"):
        passing_weights(np.array([0.1, 1.2]), STOPPING)


def test_rows_are_repeated_as_often_as_their_weight_says_on_average() -> None:
    weight = np.array([1.0, 2.4, 0.3, 20.0])
    drawn = np.array([repetitions(weight, np.random.default_rng(seed)) for seed in range(2000)])
    assert (np.abs(drawn - weight) < 1).all()
    np.testing.assert_allclose(drawn.mean(axis=0), weight, atol=0.05)
    assert repetitions(np.ones(50), np.random.default_rng(0)).tolist() == [1] * 50


def test_a_policy_stops_its_share_of_the_frauds_and_changes_nothing_else() -> None:
    config = SimulationConfig(orders=8000)
    plain, pattern = simulate_orders_and_patterns(config)
    policy = StoppingPolicy(frauds_stopped=0.3)
    orders = simulate_orders(config.changed(stopping=policy))
    pd.testing.assert_frame_equal(
        orders.drop(columns=["label", "stopped", "stop_probability"]), plain.drop(columns="label")
    )
    stopped = orders.stopped == 1
    fraud = is_fraud(pattern)
    assert orders.label[stopped].isna().all()
    assert orders.label[~stopped].equals(plain.label[~stopped])
    assert stopped[fraud].mean() == pytest.approx(0.3, abs=0.06)
    assert stopped[~fraud].mean() < 0.12
    assert orders.stop_probability.between(0, 0.9).all()
    assert orders.stop_probability[fraud].mean() == pytest.approx(0.3, abs=0.01)
