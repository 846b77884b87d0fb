"""Estimates without labels: right on average, honest where calibration moves from week to week."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tsa_model.monitoring.corrections import Expectation, Odds
from tsa_model.monitoring.estimation import SortedOrders, _Taken, estimate
from tsa_model.monitoring.resampling import Decisions, Ranks

DECISIONS = Decisions(threshold=0.3, rate=0.02)


def week(generator: np.random.Generator, shift: float = 0.0, size: int = 4_000) -> tuple[np.ndarray, ...]:
    """Probabilities, and labels whose log-odds are `shift` higher than these say."""
    odds = generator.normal(-4.0, 2.0, size)
    probability = 1 / (1 + np.exp(-odds))
    label = (generator.random(size) < 1 / (1 + np.exp(-odds - shift))).astype(np.int64)
    return probability, label


def test_figures_of_drawn_labels_are_those_of_sklearn() -> None:
    generator = np.random.default_rng(1)
    probability, label = week(generator)
    score = probability.round(2)  # with ties
    by_score = np.argsort(-score, kind="stable")
    falling = -score[by_score]
    taken = _Taken(
        int((score >= 0.3).sum()),
        0.02,
        np.searchsorted(falling, falling, "left"),
        np.searchsorted(falling, falling, "right"),
        np.ones(label.size),
    )
    found = taken.figures(np.flatnonzero(label[by_score]))
    assert found["average_precision"] == pytest.approx(average_precision_score(label, score))
    assert found["auc"] == pytest.approx(roc_auc_score(label, score))
    ranked = Ranks.of(score, label, 0.3).figures(0.02)
    assert found["recall"] == pytest.approx(float(ranked["recall"]))
    assert found["precision"] == pytest.approx(float(ranked["precision"]))
    assert found["amount_saved"] + found["amount_lost"] == label.sum() == found["frauds"]


def test_a_correction_is_found_where_odds_were_shifted() -> None:
    probability, label = week(np.random.default_rng(2), shift=0.5, size=50_000)
    found = Odds.of(probability).fit(probability, label)
    error = np.sqrt(np.diag(found.covariance))
    assert found.values[0] == pytest.approx(0.5, abs=4 * error[0])
    assert found.values[1] == pytest.approx(0.0, abs=4 * error[1])
    assert error.max() < 0.05


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_intervals_hold_the_realised_figures_of_weeks_that_differ(spread: float) -> None:
    generator = np.random.default_rng(5)
    weeks = [week(generator, spread * generator.standard_normal()) for _ in range(52)]
    odds = Odds.of(weeks[0][0])
    blocks = [odds.fit(*one) for one in weeks[:12]]
    expected = Expectation.of(blocks)
    held: dict[str, list[bool]] = {"average_precision": [], "recall_at_rate": []}
    widths, alone = [], []
    for probability, label in weeks[12:]:
        orders = SortedOrders.of(probability, probability, None)
        found = estimate(orders, odds, expected, DECISIONS, 100, generator)
        realised = Ranks.of(probability, label, DECISIONS.threshold).figures(DECISIONS.rate)
        for name, inside in held.items():
            inside.append(found[name].low <= float(realised[name]) <= found[name].high)
        widths.append(found["frauds"].high - found["frauds"].low)
        alone.append(4 * np.sqrt((probability * (1 - probability)).sum()))
    assert all(np.mean(inside) >= 0.87 for inside in held.values()), held
    if spread:  # an interval of the labels' chance alone would be far too narrow
        assert np.mean(widths) > 2.5 * np.mean(alone)
    else:
        assert np.mean(widths) < 2.2 * np.mean(alone)


def test_without_any_labelled_block_the_usual_spread_is_assumed() -> None:
    drawn = Expectation.of([]).draw(4_000, np.random.default_rng(0))
    assert np.abs(drawn.mean(axis=0)).max() < 0.02
    assert 0.15 < drawn[:, 0].std() < 0.5
