"""Intervals from gaps between frauds against the report's, which weigh every order."""

from __future__ import annotations

import numpy as np
import pytest

from tsa_model.evaluation import evaluate
from tsa_model.monitoring.resampling import Ranks, ranked_figures

PAIRS = {
    "auc": "auc",
    "average_precision": "average_precision",
    "recall": "recall@alert",
    "precision": "precision@alert",
    "alert_rate": "alert_rate@alert",
    "recall_at_rate": "recall@1.0%",
}


def period(n_orders: int, n_frauds: int, decimals: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = np.zeros(n_orders, np.int64)
    label[:n_frauds] = 1
    score = generator.beta(1 + 2 * label, 6 - 2 * label).round(decimals)
    return score, label


@pytest.mark.parametrize(("n_frauds", "decimals"), [(300, 6), (300, 2), (12, 6), (3, 1)])
def test_figures_and_intervals_are_the_reports(n_frauds: int, decimals: int) -> None:
    score, label = period(6_000, n_frauds, decimals)
    expected = evaluate(score, label, thresholds={"alert": 0.6}, n_resamples=400)
    found = ranked_figures(Ranks.of(score, label, 0.6), 0.01, 400, np.random.default_rng(0))
    for ours, theirs in PAIRS.items():
        one, other = found[ours], expected[theirs]
        assert one.value == pytest.approx(other.value, abs=1e-12), ours
        width = other.high - other.low
        assert one.low == pytest.approx(other.low, abs=0.2 * width + 1e-9), ours
        assert one.high == pytest.approx(other.high, abs=0.2 * width + 1e-9), ours


def test_a_threshold_above_all_scores_raises_no_alert() -> None:
    score, label = period(500, 20, 6)
    found = ranked_figures(Ranks.of(score, label, 2.0), 0.01, 50, np.random.default_rng(0))
    assert found["recall"].value == 0.0
    assert found["alert_rate"].value == 0.0
    assert "precision" not in found


@pytest.mark.parametrize("n_frauds", [20, 300])
def test_frauds_reached_are_held_against_what_so_many_alerts_can_hold(n_frauds: int) -> None:
    """60 alerts: at most 20 of 20 frauds, at most 60 of 300; more fraud of the same kind is no loss."""
    score, label = period(6_000, n_frauds, 6)
    found = ranked_figures(Ranks.of(score, label, 0.6), 0.01, 50, np.random.default_rng(0))
    caught = label[np.argsort(-score)[:60]].sum()
    assert found["reached_at_rate"].value == pytest.approx(caught / min(n_frauds, 60))
    assert found["recall_at_rate"].value == pytest.approx(caught / n_frauds)
