"""The handbook benchmark's protocol, by hand."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsa_model.settings.run import RunConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def protocol():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("handbook_protocol")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def fold(protocol):
    """Trains on days 100 to 106, tests on days 114 to 120."""
    return protocol.Fold(100)


def test_folds_go_back_a_week_each(protocol):
    folds = protocol.make_folds(date(2018, 7, 25), 4)
    assert [fold.date for fold in folds] == ["2018-07-25", "2018-07-18", "2018-07-11", "2018-07-04"]
    latest = folds[0]
    assert latest.first_delay_day - latest.first_training_day == 7
    assert latest.first_test_day - latest.first_training_day == 14
    assert latest.test_end - latest.first_training_day == 21


def test_training_ends_with_the_training_week_however_long_it_is(protocol, fold):
    day = np.arange(90, 121)
    assert day[protocol.training_rows(fold, day)].tolist() == [*range(100, 107)]
    assert day[protocol.training_rows(fold, day, n_days=10)].tolist() == [*range(97, 107)]


@pytest.mark.parametrize(
    ("fraud_day", "tested_days"),
    [
        (99, [*range(114, 121)]),  # before the training week: forgotten
        (100, []),
        (106, []),
        (107, [114]),  # on the morning of day 115 it is seven days old
        (108, [114, 115]),
        (112, [*range(114, 120)]),
        (113, [*range(114, 121)]),
    ],
)
def test_customers_leave_once_their_fraud_is_known(protocol, fold, fraud_day, tested_days):
    day = np.array([fraud_day, *range(114, 121), *range(114, 121)])
    customer = np.array([1] * 8 + [2] * 7)
    label = np.array([1] + [0] * 14)
    rows = protocol.test_rows(fold, day, customer, label)
    assert day[rows][customer[rows] == 1].tolist() == tested_days
    assert day[rows][customer[rows] == 2].tolist() == [*range(114, 121)]


def test_a_genuine_history_removes_nobody(protocol, fold):
    day = np.array([100, 106, 114])
    rows = protocol.test_rows(fold, day, np.array([1, 1, 1]), np.array([0, 0, 1]))
    assert rows.tolist() == [2]


def test_card_precision_by_hand(protocol):
    # Day 1: customers by highest score are 3 (0.9), 1 (0.8, his fraud is the lower one), 2; the top two
    # hold one frauded customer, 1. Day 2: without customer 1 the top two are 2 and 3, both frauded.
    day = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    customer = np.array([1, 1, 2, 3, 1, 2, 3, 4])
    label = np.array([0, 1, 1, 0, 1, 1, 1, 1])
    score = np.array([0.8, 0.1, 0.7, 0.9, 0.99, 0.6, 0.5, 0.4])
    assert protocol.card_precision(day, customer, label, score, k=2) == pytest.approx((1 / 2 + 2 / 2) / 2)


def test_card_precision_divides_by_k_even_where_customers_are_fewer(protocol):
    assert protocol.card_precision(
        np.array([5]), np.array([1]), np.array([1]), np.array([0.3])
    ) == pytest.approx(0.01)


def test_a_frauded_customer_that_was_not_found_stays(protocol):
    day = np.array([1, 1, 2, 2])
    customer = np.array([1, 2, 1, 2])
    label = np.array([0, 1, 0, 1])
    score = np.array([0.9, 0.1, 0.1, 0.9])
    assert protocol.card_precision(day, customer, label, score, k=1) == pytest.approx((0 + 1) / 2)


def test_metrics_of_a_perfect_and_of_a_constant_score(protocol):
    day, customer = np.ones(4, int), np.arange(4)
    label = np.array([1, 0, 0, 0])
    perfect = protocol.measure(day, customer, label, label.astype(float))
    assert perfect == {"auc_roc": 1.0, "average_precision": 1.0, "card_precision_at_100": 0.01}
    constant = protocol.measure(day, customer, label, np.zeros(4))
    assert constant["auc_roc"] == 0.5
    assert constant["average_precision"] == 0.25


def transactions(n: int = 6000, n_days: int = 70) -> pd.DataFrame:
    """Frauds come as amounts above 100; enough of them for a model to be selected on two days."""
    rng = np.random.default_rng(0)
    amount = rng.exponential(30, n).round(2)
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n),
            "tx_datetime": pd.Timestamp("2018-04-01")
            + pd.to_timedelta(np.sort(rng.integers(0, n_days * 86_400, n)), unit="s"),
            "customer_id": rng.integers(0, 60, n),
            "terminal_id": rng.integers(0, 80, n),
            "tx_amount": amount,
            "tx_fraud": (amount > 100).astype(int),
        }
    )


@pytest.mark.slow
def test_the_command_compares_all_models_on_the_same_folds(tmp_path):
    pytest.importorskip("lightgbm")
    transactions().to_parquet(tmp_path / "events.parquet")
    run = RunConfig.load("handbook").model_dump(mode="json")
    run["training"] |= {"max_epochs": 1}
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    command = [sys.executable, str(BENCHMARKS / "handbook.py"), "--events", str(tmp_path / "events.parquet")]
    command += ["--first-training-day", "2018-05-19", "--folds", "2", "--json", str(tmp_path / "out.json")]
    command += ["--config", str(tmp_path / "run.yaml"), "--curves", str(tmp_path / "curves.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent)
    assert done.returncode == 0, done.stderr
    models = json.loads((tmp_path / "out.json").read_text())["models"]
    assert set(models) == {"tsa_dual", "tsa_single", "lightgbm", "random_forest", "logistic_regression"}
    for figures in models.values():
        for metric in ("auc_roc", "average_precision", "card_precision_at_100"):
            folds = figures[metric]["folds"]
            assert len(folds) == 2
            assert figures[metric]["mean"] == pytest.approx(sum(folds) / 2)
            assert figures[metric]["sd"] == pytest.approx(abs(folds[0] - folds[1]) / 2**0.5)
    assert models["lightgbm"]["auc_roc"]["mean"] > 0.99
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.slow
def test_folds_outside_the_transactions_are_refused(tmp_path):
    transactions(300).to_parquet(tmp_path / "events.parquet")
    command = [sys.executable, str(BENCHMARKS / "handbook.py"), "--events", str(tmp_path / "events.parquet")]
    command += ["--first-training-day", "2018-05-30", "--folds", "1", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent)
    assert done.returncode != 0
    assert "the fold that trains from 2018-05-30 needs the 21 days from then on" in done.stderr
    assert not (tmp_path / "out.json").exists()
