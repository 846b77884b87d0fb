"""A worse challenger is kept out at any number of frauds, and a better one is let in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsa_model.evaluation import evaluate
from tsa_model.promotion.bootstrap import paired_differences

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    """`benchmarks/promotion.py`, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("promotion")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("frauds", [1, 2, 5])
def test_a_clearly_worse_challenger_is_kept_out(benchmark: Any, frauds: int) -> None:
    """With one fraud a plain bootstrap lets 9 to 19 of 100 in, so that this fails without the bound."""
    case = benchmark.Case(frauds, 0.75, 0.90)
    assert benchmark.promoted_share(case, 60, genuine=400, shared=0.5, resamples=100) == 0


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.5, 0.8])
@pytest.mark.parametrize("frauds", [1, 2, 3, 5, 10, 20, 50])
def test_at_most_two_in_a_hundred_worse_challengers_get_in(
    benchmark: Any, frauds: int, shared: float
) -> None:
    case = benchmark.Case(frauds, 0.75, 0.90)
    assert benchmark.promoted_share(case, 500, genuine=1000, shared=shared) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("frauds", [10, 50])
def test_nor_does_one_that_is_a_little_worse(benchmark: Any, frauds: int) -> None:
    case = benchmark.Case(frauds, 0.87, 0.90)
    assert benchmark.promoted_share(case, 500, genuine=500, shared=0.8, resamples=150) <= 0.02


@pytest.mark.slow
def test_a_better_challenger_gets_in(benchmark: Any) -> None:
    assert benchmark.promoted_share(benchmark.Case(200, 0.93, 0.90), 100, shared=0.8) >= 0.8


@pytest.mark.parametrize("frauds", [1, 3, 9])
def test_the_difference_over_few_frauds_has_the_bound_of_clopper_and_pearson(frauds: int) -> None:
    """Champion and challenger both rank every fraud first, and so do not differ on any order seen."""
    label = np.repeat([1, 0], [frauds, 3000])
    generator = np.random.default_rng(0)
    first = np.append(10 + generator.random(frauds), generator.random(3000))
    second = np.append(10 + generator.random(frauds), generator.random(3000))
    one = paired_differences(label, first, second, 0.95, 4000, 0)["auc"]
    assert one.value == 0
    missed = 1 - 0.025 ** (1 / frauds)  # the largest share of missed frauds of which none may be seen
    assert one.low == pytest.approx(-missed, abs=0.02)
    assert one.high == pytest.approx(missed, abs=0.02)


def test_merging_orders_that_no_figure_tells_apart_changes_no_value() -> None:
    from tsa_model.evaluation.metrics import Ranking, auc, average_precision
    from tsa_model.promotion.bootstrap import _merged

    generator = np.random.default_rng(1)
    label = np.repeat([1, 0], [7, 500])
    scores = generator.normal(size=(2, 507)).round(1) + label  # rounded: with ties
    labels, *ranks, count = _merged(label, *scores)
    assert labels.size < 200
    assert count.sum() == 507
    for score, rank in zip(scores, ranks, strict=True):
        for figure in (auc, average_precision):
            whole = figure(*Ranking(score, label).counts())
            merged = figure(*Ranking(rank, labels).counts(count.astype(np.float64)))
            assert merged == pytest.approx(whole, abs=1e-12)


def test_an_interval_over_one_fraud_is_wide() -> None:
    label = np.arange(1000) == 0
    score = np.linspace(1, 0, 1000)
    figures = evaluate(score, label.astype(int), score, {"t": 0.5}, amount=np.ones(1000))
    for name in ("auc", "average_precision", "recall@1.0%", "amount_recall@1.0%", "recall@t"):
        assert figures[name].value == figures[name].high == 1.0, name
        assert figures[name].low < 0.1, name


def test_the_interval_of_a_share_of_found_frauds_is_that_of_clopper_and_pearson() -> None:
    from scipy.stats import beta

    label = np.arange(2000) < 20
    score = np.where(np.arange(2000) < 15, 1.0, 0.5) - np.arange(2000) * 1e-5  # 15 of 20 at the top
    found = evaluate(score, label.astype(int), thresholds={"t": 0.9}, n_resamples=2000)["recall@t"]
    assert found.value == 0.75
    assert found.low == pytest.approx(beta.ppf(0.025, 15, 6), abs=0.02)
    assert found.high == pytest.approx(beta.ppf(0.975, 16, 5), abs=0.02)
