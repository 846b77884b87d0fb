"""Figures of a scored period against scikit-learn and against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tsa_model.evaluation import (
    best_f1_threshold,
    calibration_error,
    evaluate,
    reliability_bins,
    roc_points,
    threshold_for_rate,
)


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """2,000 scores with ties and their labels, 6 % of them fraud."""
    generator = np.random.default_rng(0)
    label = (generator.random(2000) < 0.06).astype(np.int64)
    score = np.round(1 / (1 + np.exp(-(generator.normal(size=2000) + 1.5 * label - 2))), 2)
    return score, label


def test_ranking_figures_are_scikit_learns(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    figures = evaluate(score, label, n_resamples=5)
    assert figures["auc"].value == pytest.approx(sklearn_metrics.roc_auc_score(label, score), abs=1e-12)
    expected = sklearn_metrics.average_precision_score(label, score)
    assert figures["average_precision"].value == pytest.approx(expected, abs=1e-12)


def test_figures_at_a_threshold_are_scikit_learns(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    figures = evaluate(score, label, thresholds={"t": 0.3}, n_resamples=5)
    alert = score >= 0.3
    for name, function in (
        ("precision", sklearn_metrics.precision_score),
        ("recall", sklearn_metrics.recall_score),
        ("f1", sklearn_metrics.f1_score),
        ("accuracy", sklearn_metrics.accuracy_score),
    ):
        assert figures[f"{name}@t"].value == pytest.approx(function(label, alert), abs=1e-12), name
    assert figures["specificity@t"].value == pytest.approx((~alert)[label == 0].mean(), abs=1e-12)
    assert figures["alert_rate@t"].value == pytest.approx(alert.mean(), abs=1e-12)


def test_brier_score_is_scikit_learns(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    expected = sklearn_metrics.brier_score_loss(label, score)
    assert evaluate(score, label, probability=score, n_resamples=5)["brier"].value == pytest.approx(expected)


def test_recall_at_alert_rates_by_hand() -> None:
    label = np.zeros(100, np.int64)
    label[[0, 3, 50, 99]] = 1
    amount = np.ones(100)
    amount[[0, 3]] = [7, 1]
    figures = evaluate(np.arange(100, 0, -1), label, amount=amount, n_resamples=5)
    assert figures["recall@1.0%"].value == pytest.approx(1 / 4)
    assert figures["recall@5.0%"].value == pytest.approx(2 / 4)
    assert figures["amount_recall@1.0%"].value == pytest.approx(7 / 10)
    assert figures["amount_recall@5.0%"].value == pytest.approx(8 / 10)


def test_a_tie_at_the_alert_rate_is_cut_as_chance_would_cut_it() -> None:
    label = np.zeros(100, np.int64)
    label[:2] = 1
    score = np.zeros(100)
    score[:10] = 1.0  # ten tied alerts, two of them fraud, of which five are allowed
    assert evaluate(score, label, n_resamples=5)["recall@5.0%"].value == pytest.approx(0.5)


def test_intervals_hold_their_value_and_repeat(scored: tuple[np.ndarray, np.ndarray]) -> None:
    figures = evaluate(*scored, n_resamples=100)
    assert figures == evaluate(*scored, n_resamples=100)
    for name in ("auc", "average_precision", "recall@5.0%"):
        assert figures[name].low < figures[name].value < figures[name].high, name


def test_the_interval_of_the_auc_is_as_wide_as_its_theory(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    auc = evaluate(score, label, n_resamples=200)["auc"]
    # Hanley and McNeil (1982): variance of the area from the area and both class sizes.
    a, n1, n0 = auc.value, label.sum(), (1 - label).sum()
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    sd = math.sqrt((a * (1 - a) + (n1 - 1) * (q1 - a * a) + (n0 - 1) * (q2 - a * a)) / (n1 * n0))
    assert auc.high - auc.low == pytest.approx(2 * 1.96 * sd, rel=0.3)


def test_one_class_cannot_be_ranked() -> None:
    with pytest.raises(ValueError, match="both classes"):
        evaluate(np.linspace(0, 1, 5), np.zeros(5))


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and label \(2,\)"):
        evaluate([0.1, 0.2, 0.3], [0, 1])


def test_the_roc_curve_is_short_finite_and_whole(scored: tuple[np.ndarray, np.ndarray]) -> None:
    generator = np.random.default_rng(1)
    label = generator.integers(0, 2, 5000)
    points = roc_points(generator.random(5000) + 0.3 * label, label, max_points=150)
    assert 100 < len(points["threshold"]) <= 150
    assert np.isfinite(list(points.values())).all()
    assert points["false_positive_rate"][-1] == points["true_positive_rate"][-1] == 1.0
    assert (np.diff(points["true_positive_rate"]) >= 0).all()


def test_the_threshold_of_a_rate_allows_no_more_alerts() -> None:
    score = np.array([0.1, 0.5, 0.5, 0.5, 0.9])
    assert (score >= threshold_for_rate(score, 0.2)).sum() == 1
    assert (score >= threshold_for_rate(score, 0.4)).sum() == 1  # the tie would make it four
    assert (score >= threshold_for_rate(score, 0.8)).sum() == 4
    assert (score >= threshold_for_rate(score, 0.1)).sum() == 0


def test_the_best_threshold_has_the_highest_f1(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    chosen = sklearn_metrics.f1_score(label, score >= best_f1_threshold(score, label))
    assert chosen == max(sklearn_metrics.f1_score(label, score >= t) for t in np.unique(score))


def test_calibration_error_by_hand() -> None:
    probability = np.repeat([0.1, 0.4], 50)
    label = np.concatenate([np.arange(50) < 10, np.arange(50) < 20]).astype(np.int64)  # 20 % and 40 %
    assert calibration_error(probability, label) == pytest.approx(0.05)
    bins = reliability_bins(probability, label, n_bins=2)
    np.testing.assert_allclose(bins["observed"], [0.2, 0.4])
    np.testing.assert_allclose(bins["count"], [50, 50])
