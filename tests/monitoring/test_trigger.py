"""One alarm, one run: repeated, cooled down, capped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tsa_model.monitoring import trigger
from tsa_model.monitoring.documents import Alarm, Monitoring, alarm_id
from tsa_model.sealed import sealed
from tsa_model.settings.monitoring import MonitoringConfig, RetrainConfig

NOW = datetime(2025, 6, 2, 12, tzinfo=UTC)
LIMITS = RetrainConfig()


def found(
    *signals: str, as_of: datetime = NOW, since: datetime | None = None, model: str = "a" * 64
) -> Monitoring:
    """A document with an alarm for each signal."""
    start = since or as_of - timedelta(days=1)
    alarms = tuple(
        Alarm(id=alarm_id(model, one, start), signal=one, since=start, reason="because") for one in signals
    )
    return sealed(
        Monitoring(
            dataset="shop", as_of=as_of, model_digest=model, reference_sha256="b" * 64, sources={},
            label_delay_days=5, settings=MonitoringConfig(), threshold=0.5, alert_share=0.01, baseline={},
            level="act" if alarms else "fine", reasons=(), days=(), weeks=(), alarms=alarms, notes=(),
        )
    )  # fmt: skip


def step(ledger: trigger.Ledger, document: Monitoring, now: datetime) -> tuple[bool, str, trigger.Ledger]:
    alarm, reason, after = trigger.decide(document, ledger, LIMITS, now)
    if alarm is not None:
        after = trigger.with_run(after, document, alarm, "https://kfp/run", now)
    return alarm is not None, reason, after


def test_an_alarm_that_goes_on_starts_one_run() -> None:
    ledger, started = trigger.Ledger(), []
    first = NOW - timedelta(days=1)
    for day in range(60):
        now = NOW + timedelta(days=day)
        # The first day of an alarm may move with what is known; it is the same alarm all the same.
        since = first + timedelta(days=day // 3)
        is_started, _, ledger = step(ledger, found("loss of recall", as_of=now, since=since), now)
        started.append(is_started)
    assert started == [True] + [False] * 59
    assert len(ledger.runs) == 1


def test_the_same_document_twice_starts_one_run() -> None:
    document = found("calibration")
    _, _, ledger = step(trigger.Ledger(), document, NOW)
    again, reason, _ = step(ledger, document, NOW)
    assert not again
    assert trigger.run_name(document.alarms[0]) in reason


def test_an_alarm_that_comes_back_after_weeks_is_a_new_one() -> None:
    _, _, ledger = step(trigger.Ledger(), found("calibration"), NOW)
    later = NOW + timedelta(days=40)
    assert step(ledger, found("calibration", as_of=later), later)[0]


def test_another_alarm_waits_for_the_cool_down_and_the_cap() -> None:
    _, _, ledger = step(trigger.Ledger(), found("calibration"), NOW)
    soon = NOW + timedelta(days=2)
    is_started, reason, ledger = step(ledger, found("alert rate", as_of=soon), soon)
    assert not is_started
    assert "cool_down_days" in reason
    eager = RetrainConfig(cool_down_days=0, most_per_week=1)
    capped = trigger.decide(found("alert rate", as_of=soon), ledger, eager, soon)
    assert capped.alarm is None
    assert "most_per_week" in capped.reason
    later = NOW + timedelta(days=8)
    assert step(ledger, found("alert rate", as_of=later, since=later - timedelta(days=1)), later)[0]


def test_a_new_models_alarm_is_a_new_one() -> None:
    _, _, ledger = step(trigger.Ledger(), found("calibration"), NOW)
    later = NOW + timedelta(days=8)
    assert step(ledger, found("calibration", as_of=later, model="c" * 64), later)[0]


def test_without_alarms_nothing_is_started() -> None:
    is_started, reason, _ = step(trigger.Ledger(), found(), NOW)
    assert not is_started
    assert "the level is fine" in reason


def test_the_window_ends_with_the_last_complete_day() -> None:
    assert trigger.window_end(found(as_of=NOW)) == datetime(2025, 6, 2, tzinfo=UTC)


def test_the_ledger_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "retraining.json"
    _, _, ledger = step(trigger.Ledger(), found("calibration"), NOW)
    with trigger.open_ledger(path) as empty:
        assert empty.runs == ()
        trigger.save_ledger(path, ledger)
    with trigger.open_ledger(path) as read:
        assert read.runs == ledger.runs
    path.write_text(path.read_text().replace("calibration", "something"))
    with pytest.raises(ValueError, match="was edited"), trigger.open_ledger(path):
        pass
