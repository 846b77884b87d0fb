"""Reasons against the truth, and over many orders: figures that fall when the reasons are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tsa_model.reasons.alerts import ExplainedRow, Moved, reasons_table
from tsa_model.reasons.explanation import Explanation, OrderId, PartShare, Reason
from tsa_model.reasons.overview import overview
from tsa_model.reasons.parts import Side
from tsa_model.reasons.truth import Truth, deletion_figures, truth_figures
from tsa_model.simulation.features import PATTERNS, Causes

N_FRAUDS = 60


def order_part(side: Side, order_id: int, back: int, contribution: float) -> PartShare:
    return PartShare(
        side=side, order_ids=(order_id,), orders_back=(back,), contribution=contribution, error=0.0
    )


def theft(order_id: int, tests: float) -> Explanation:
    """A cash-out whose three trial orders have a contribution each, among 12 other orders and 20 features."""
    trials = [order_part("card", 10_000 + 3 * order_id + k, k + 1, tests) for k in range(3)]
    others = [order_part("card", 90_000 + k, 4 + k, 0.01 * k) for k in range(12)]
    features = [
        PartShare(side="order", feature=f"column_{k}", contribution=0.02 * k, error=0.0) for k in range(20)
    ]
    sides: list[tuple[Side, float]] = [("card", 3 * tests + 0.66), ("order", 3.8), ("customer", 0.0)]
    reasons = [
        Reason(level="a", side=side, contribution=value, words="words")
        for side, value in sorted(sides, key=lambda pair: -pair[1])
    ]
    return Explanation(
        order_id=order_id,
        score=0.9,
        logit=2.0,
        background_logit=-2.0,
        earlier_orders={"card": 15, "customer": 0},
        reasons=tuple(reasons),
        parts=(*trials, *others, *features),
        is_exact={},
        scored_rows=1,
    )


def sides_of(found: list[Explanation]) -> dict[OrderId, list[Side]]:
    return {each.order_id: [reason.side for reason in each.sides()] for each in found}


@pytest.fixture
def truth() -> Truth:
    """Fraud k, and its three trial orders."""
    ids = [*range(N_FRAUDS), *range(10_000, 10_000 + 3 * N_FRAUDS)]
    pattern = [PATTERNS.index("card")] * N_FRAUDS + [PATTERNS.index("card_test")] * 3 * N_FRAUDS
    episode = [*range(N_FRAUDS), *np.repeat(np.arange(N_FRAUDS), 3).tolist()]
    return Truth.of(ids, Causes(np.array(pattern, np.int8), np.array(episode, np.int32)))


def test_right_reasons_are_found_and_shuffled_ones_are_not(truth: Truth) -> None:
    found = [theft(k, tests=2.0) for k in range(N_FRAUDS)]
    (figures,) = truth_figures(sides_of(found), found[:50], truth).causes
    assert (figures.cause, figures.frauds, figures.explained) == ("card", N_FRAUDS, 50)
    assert figures.right_side == figures.right_side_high == figures.causing_order == 1.0
    assert figures.right_side_low == pytest.approx(60 / (60 + 1.96**2), abs=1e-4)
    assert figures.right_side_shuffled < 0.5
    assert figures.causing_order_shuffled is not None
    assert figures.causing_order_shuffled < 0.6


def test_wrong_reasons_are_told(truth: Truth) -> None:
    found = [theft(k, tests=0.0) for k in range(N_FRAUDS)]
    (figures,) = truth_figures(sides_of(found), found, truth).causes
    assert figures.right_side == figures.causing_order == 0.0


def test_an_order_of_another_theft_did_not_cause_it(truth: Truth) -> None:
    assert truth.caused(5, 10_015)
    assert not truth.caused(5, 10_018)
    assert not truth.caused(5, 90_000)


def test_deletion_compares_medians() -> None:
    rows = [ExplainedRow(k, theft(k, 1.0), Moved(top, 0.5)) for k, top in enumerate((1.0, 3.0, 50.0))]
    figures = deletion_figures(rows)
    assert figures is not None
    assert (figures.top, figures.random, figures.ratio) == (3.0, 0.5, 6.0)
    assert deletion_figures([]) is None


def test_overview_is_the_mean_size_with_an_interval() -> None:
    found = [theft(k, tests=float(k % 3)) for k in range(40)]
    is_fraud = np.arange(40) < 30
    result = overview(found, is_fraud)
    assert (result.frauds, result.genuine) == (30, 10)
    latest = next(each for each in result.orders_back if each.name == "the last one")
    mean, low, high = latest.frauds
    assert mean == pytest.approx(1.0)
    assert 0.6 < low < mean < high < 1.4
    assert [each.name for each in result.features][:2] == ["column_19", "column_18"]
    assert result == overview(found, is_fraud)


def test_the_table_has_a_line_for_each_reason() -> None:
    rows = [ExplainedRow(k, theft(k, 1.0), Moved(1.0, 1.0)) for k in range(2)]
    table = reasons_table(rows).to_pylist()
    assert [line["order_id"] for line in table] == [0, 0, 0, 1, 1, 1]
    assert [line["rank"] for line in table] == [1, 2, 3] * 2
    assert {line["level"] for line in table} == {"a"}
