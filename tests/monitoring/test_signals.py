"""Quiet days raise nothing; faults raise the right level, with the reason in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.monitored import DAY_US, FIRST, REFERENCE_DAYS, daily, levels, production, reference

from tsa_model.evaluation.intervals import Interval
from tsa_model.monitoring import signals
from tsa_model.monitoring.documents import Level
from tsa_model.monitoring.reference import UsualDays
from tsa_model.monitoring.signals import lasting
from tsa_model.settings.monitoring import MonitoringConfig

CONFIG = MonitoringConfig()
START = FIRST + REFERENCE_DAYS


@pytest.fixture(scope="module")
def against():
    return reference()


def test_four_quiet_weeks_raise_nothing(against) -> None:
    looks = daily(production(28), against)
    assert [levels(looks.of(START + day)) for day in range(28)] == [{}] * 28


def test_a_shifted_prior_is_seen_at_once_and_acted_on_at_its_second_day(against) -> None:
    quiet, shifted = production(10), production(2, fraud_rate=0.3, seed=2, first=START + 10)
    names = ("time_us", "score", "probability", "label", "waited_us")
    both = {name: np.concatenate([getattr(quiet, name), getattr(shifted, name)]) for name in names}
    scored = replace(quiet, order_id=np.arange(both["score"].size), **both)
    looks = daily(scored, against)
    first, second = looks.of(START + 10), looks.of(START + 11)
    assert levels(looks.of(START + 9)) == {}
    assert signals.EXPECTED_FRAUD in levels(lasting(first, looks.of(START + 9)))
    assert levels(lasting(second, first))[signals.EXPECTED_FRAUD] == "act"
    words = next(one.reason for one in second if one.name == signals.EXPECTED_FRAUD)
    assert "times the reference's" in words


def test_a_new_kind_of_fraud_is_seen_when_its_labels_are_due_and_not_before(against) -> None:
    scored = production(21)
    generator = np.random.default_rng(4)
    new = (scored.time_us >= (START + 7) * DAY_US) & (generator.random(scored.score.size) < 0.04)
    label = np.where(new & (scored.score < 0.2), 1, scored.label).astype(np.int8)
    looks = daily(replace(scored, label=label), against)
    assert levels(looks.of(START + 11)) == {}  # its newest labelled day is the last one before
    seen = levels(looks.of(START + 18))  # seven days of it, and the delay of five
    assert {seen.get("loss of average precision"), seen.get("loss of recall at the alert rate")} == {"act"}
    assert signals.CALIBRATION in seen


def test_labels_that_stay_away_are_said(against) -> None:
    scored = production(21)
    gone = np.where(scored.time_us >= (START + 7) * DAY_US, -1, scored.label).astype(np.int8)
    found = levels(daily(replace(scored, label=gone), against).of(START + 19))
    assert found[signals.LABEL_LACK] == "act"


def test_a_day_without_scores_is_said(against) -> None:
    scored = production(9)
    kept = scored.time_us // DAY_US != START + 8
    names = ("order_id", "time_us", "score", "probability", "label", "waited_us")
    looks = daily(replace(scored, **{name: getattr(scored, name)[kept] for name in names}), against)
    assert levels(looks.of(START + 8)) == {signals.NO_ORDERS: "look"}


@pytest.mark.parametrize(
    ("day", "week", "whole", "level"),
    [
        ((0.5, 0.1), (0.5, 0.1), True, "act"),
        ((0.5, 0.1), (0.5, 0.1), False, "look"),  # a weekday's own ways are not known yet
        ((9.0, 0.1), (0.0, 0.1), True, "fine"),  # as every Saturday
        ((0.5, 0.1), (0.15, 0.1), True, "look"),
        ((0.5, 0.6), (0.5, 0.1), True, "fine"),  # within the noise of so few orders
    ],
)
def test_drift_counts_on_the_day_and_over_the_week(
    day: tuple[float, float], week: tuple[float, float], whole: bool, level: Level
) -> None:
    assert signals.drift(signals.DRIFT, "amount", day, week, whole, CONFIG.psi).level == level


def test_shares_within_chance_are_fine() -> None:
    assert signals.unknown_share("country", 0.25, 400, CONFIG.unknown).level == "act"
    assert signals.unknown_share("country", 0.25, 4, CONFIG.unknown).level == "fine"
    assert signals.history_length("cid", 2.0, 5.0, CONFIG.history).level == "act"
    assert signals.without_history("cid", 0.5, 0.1, 400, CONFIG.without_history).level == "act"
    assert signals.without_history("cid", 0.5, 0.1, 2, CONFIG.without_history).level == "fine"


@pytest.mark.parametrize(
    ("day", "two", "level"),
    [
        ((0.018, 9000), (0.018, 18000), "fine"),  # days differ by a third of the mean
        ((0.04, 9000), (0.04, 18000), "act"),
        ((0.04, 9000), (0.02, 18000), "look"),  # the day before was as usual
        ((0.04, 9000), None, "look"),
        ((0.04, 50), (0.04, 100), "fine"),  # two alerts instead of half a one
        ((0.025, 9000), (0.0225, 18000), "look"),  # as two of 14 days may be together
        ((0.0, 9000), (0.0, 18000), "act"),
        ((0.0, 250), (0.0, 500), "fine"),  # none instead of five
    ],
)
def test_a_daily_share_calls_for_action_over_two_days(
    day: tuple[float, int], two: tuple[float, int] | None, level: Level
) -> None:
    pair = None if two is None else signals.Share(*two)
    usual = UsualDays(0.01, 0.33, 0.1)
    found = signals.against_usual("alert rate", "alerts", signals.Share(*day), pair, usual, CONFIG.alert_rate)
    assert found is not None
    assert found.level == level


def test_a_loss_counts_where_the_intervals_do_not_meet() -> None:
    before = Interval(0.8, 0.75, 0.85)
    assert signals.loss("average_precision", Interval(0.5, 0.4, 0.6), before, CONFIG.loss).level == "act"
    assert signals.loss("average_precision", Interval(0.5, 0.2, 0.8), before, CONFIG.loss).level == "fine"
    assert signals.loss("auc", Interval(0.7, 0.68, 0.72), before, CONFIG.loss).level == "act"
    assert signals.loss("recall_at_rate", Interval(0.7, 0.68, 0.72), before, CONFIG.loss).level == "look"


def test_more_fraud_than_alerts_can_hold_is_no_loss_of_the_model() -> None:
    """Recall falls by a third because there is more fraud; what can be found is found as before."""
    few = {"recall_at_rate": Interval(0.6, 0.55, 0.65), "reached_at_rate": Interval(0.62, 0.57, 0.67)}
    full = {"recall_at_rate": Interval(0.12, 0.11, 0.13), "reached_at_rate": Interval(0.96, 0.93, 0.99)}
    assert list(signals.losses(few)) == ["recall_at_rate"]
    assert list(signals.losses(full)) == ["reached_at_rate"]
    assert list(signals.losses({"auc": few["recall_at_rate"]})) == ["auc"]
