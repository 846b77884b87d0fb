"""The paired bootstrap against scikit-learn, and what pairing must give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tsa_model.evaluation.metrics import Ranking
from tsa_model.promotion.bootstrap import RankedPair, by_order, paired_differences


def scores(n_rows: int = 600, seed: int = 0) -> tuple[NDArray, NDArray, NDArray]:
    """Labels, and two models' scores that share most of their noise; scores of the second are tied."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n_rows) < 0.2).astype(np.int64)
    shared = label + generator.normal(size=n_rows)
    first = shared + 0.2 * generator.normal(size=n_rows)
    second = np.round(shared + 0.5 * generator.normal(size=n_rows), 1)
    return label, first, second


def test_differences_are_those_of_scikit_learn() -> None:
    label, first, second = scores()
    found = paired_differences(label, first, second, confidence=0.9, resamples=100, seed=1)
    generator = np.random.default_rng(1)
    weights = [generator.poisson(1.0, label.size) for _ in range(100)]
    for name, function in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = function(label, first) - function(label, second)
        assert found[name].value == pytest.approx(expected, abs=1e-12)
        samples = [
            function(label, first, sample_weight=w) - function(label, second, sample_weight=w)
            for w in weights
        ]
        bounds = np.quantile(samples, [0.05, 0.95])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(bounds), abs=1e-12)


def test_a_model_does_not_differ_from_itself() -> None:
    label, first, _ = scores()
    for one in paired_differences(label, first, first, 0.95, 200, 0).values():
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)


def test_pairing_narrows_the_interval() -> None:
    label, first, second = scores(2000)
    paired = paired_differences(label, first, second, 0.95, 300, 0)["auc"]
    other_label, other, _ = scores(2000, seed=9)
    generator = np.random.default_rng(0)

    def resampled_auc(labels: NDArray, values: NDArray) -> float:
        rows = generator.integers(0, labels.size, labels.size)
        return float(roc_auc_score(labels[rows], values[rows]))

    unpaired = [resampled_auc(label, second) - resampled_auc(other_label, other) for _ in range(300)]
    assert paired.high - paired.low < 0.6 * np.ptp(np.quantile(unpaired, [0.025, 0.975]))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Many small draws from one population whose difference is known from a large one."""
    label, first, second = scores(100_000, seed=3)
    truth = roc_auc_score(label, first) - roc_auc_score(label, second)
    covered = 0
    for start in range(0, 100 * 500, 500):
        part = slice(start, start + 500)
        one = paired_differences(label[part], first[part], second[part], 0.9, 100, start)["auc"]
        covered += one.low <= truth <= one.high
    assert 0.82 <= covered / 100 <= 0.98


def test_one_class_is_refused() -> None:
    _, first, second = scores()
    with pytest.raises(ValueError, match="both classes"):
        paired_differences(np.zeros(first.size), first, second, 0.95, 100, 0)


def test_figures_of_many_weights_at_once_are_those_of_each() -> None:
    """Of some of the orders, with tied scores and with weights of 0."""
    label, first, second = scores()
    members = np.flatnonzero(np.arange(label.size) % 3 > 0)
    pair = RankedPair(
        *(Ranking(score[members], label[members]) for score in (first, second)), members, label.size
    )
    weight = np.random.default_rng(2).poisson(1.0, (5, label.size))
    found = pair.differences(by_order(weight))
    for row in range(5):
        own = weight[row, members]
        for name, function in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
            values = [
                function(label[members], score[members], sample_weight=own) for score in (first, second)
            ]
            assert found[name][row] == pytest.approx(values[0] - values[1], abs=1e-12)
