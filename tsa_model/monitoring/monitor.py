"""From scored orders, labels and raw orders to what monitoring found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tsa_model.events.units import DAY_US, to_us
from tsa_model.monitoring.calendar import WEEK, days_of, week_start
from tsa_model.monitoring.columns import EventDays
from tsa_model.monitoring.daily import DailySignals
from tsa_model.monitoring.decision_logs import LogReader
from tsa_model.monitoring.documents import (
    Alarm,
    Figure,
    MonitoredDay,
    Monitoring,
    Signal,
    alarm_id,
    worst,
)
from tsa_model.monitoring.orders import ScoredDays, read_labels, read_scored
from tsa_model.monitoring.periods import Periods, amounts_of
from tsa_model.monitoring.reference import Reference
from tsa_model.monitoring.signals import lasting
from tsa_model.sealed import sealed
from tsa_model.settings.monitoring import MonitoringConfig

Show = Callable[[int, int], None]


def monitor(
    reference_dir: str | Path,
    scores: Sequence[str | Path],
    config: MonitoringConfig,
    scratch: str | Path,
    events: Any = None,
    history: Any = None,
    labels: Any = None,
    as_of: datetime | None = None,
    show: Show | None = None,
) -> Monitoring:
    """Judge the scored orders of any days against the run that made their model.

    Args:
        reference_dir: the scores folder of the model's run.
        scores: score folders, Parquet files with scores, decision logs, or folders of these.
        config: levels and sizes.
        scratch: a path beside which temporary files may lie.
        events: raw orders of these days, for columns, histories, amounts and late orders; None = without.
        history: the orders before them, where `events` does not hold them.
        labels: a file with order ids and labels; those in `events` and in the scores count too.
        as_of: the moment of knowledge, UTC; later orders are left out. None = the newest order's time.
        show: called with (days done, days altogether).

    Raises:
        ValueError: the files do not fit each other; the message says which and what to do.
    """
    reference = Reference.open(reference_dir, config)
    logs = LogReader(reference.dataset, reference.whole_ids)
    scored = read_scored(scores, reference.manifest.model_digest, logs)
    scored, as_of = _until(scored, as_of)
    days = days_of(scored.time_us)
    first, end = int(days[0]), int(days[-1]) + 1
    found = None
    if events is not None:
        found = EventDays.read(events, history, reference, first, end, Path(scratch))
        scored = scored.with_labels(found.order_id, found.label)
    if labels is not None:
        scored = scored.with_labels(*read_labels(labels, reference.dataset))
    return judge(reference, scored, found, config, as_of, show)


def judge(
    reference: Reference,
    scored: ScoredDays,
    events: EventDays | None,
    config: MonitoringConfig,
    as_of: datetime,
    show: Show | None = None,
) -> Monitoring:
    """The same of orders that were read already; see `monitor`."""
    amount = None
    if events is not None and events.amount is not None:
        amount = amounts_of(scored, events.order_id, events.amount)
    days = days_of(scored.time_us)
    first, end = int(days[0]), int(days[-1]) + 1
    delay = reference.dataset.label_delay_days
    periods = Periods(reference, scored, amount, config, delay, to_us(as_of) / DAY_US)
    weeks = tuple(periods.period(monday, WEEK) for monday in range(week_start(first), end, WEEK))
    daily = DailySignals(reference, scored, events, config, delay, periods.corrections[WEEK])
    found = _days(periods, daily, first, end, show)
    return _document(reference, scored, config, as_of, found, weeks, events)


def _until(scored: ScoredDays, as_of: datetime | None) -> tuple[ScoredDays, datetime]:
    """The orders up to a moment, which is the newest order's where none is given."""
    if as_of is None:
        newest = int(scored.time_us[-1])
        return scored.until(len(scored.time_us), newest), datetime.fromtimestamp(newest // 1_000_000, UTC)
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    kept = int(np.searchsorted(scored.time_us, to_us(as_of), side="right"))
    if not kept:
        oldest = datetime.fromtimestamp(int(scored.time_us[0]) // 1_000_000, UTC)
        raise ValueError(f"no order is as old as {as_of}: the first one is of {oldest}")
    return scored.until(kept, to_us(as_of)), as_of


def _days(
    periods: Periods, daily: DailySignals, first: int, end: int, show: Show | None
) -> tuple[MonitoredDay, ...]:
    days: list[MonitoredDay] = []
    before: tuple[Signal, ...] = ()
    for day in range(first, end):
        own = daily.of(day)
        kept = lasting(own, before)
        period = periods.period(day, 1)
        level = worst([one.level for one in kept])
        days.append(MonitoredDay(**dict(period), signals=kept, level=level))
        before = own
        if show is not None:
            show(day + 1 - first, end - first)
    return tuple(days)


def _document(
    reference: Reference,
    scored: ScoredDays,
    config: MonitoringConfig,
    as_of: datetime,
    days: tuple[MonitoredDay, ...],
    weeks: tuple[Any, ...],
    events: EventDays | None,
) -> Monitoring:
    newest = days[-1]
    digest = reference.manifest.model_digest
    alarms = tuple(
        Alarm(id=alarm_id(digest, one.title, since), signal=one.title, since=since, reason=one.reason)
        for one in newest.signals
        if one.level == "act"
        for since in [_since(days, one)]
    )
    told = sorted((one for one in newest.signals if one.level != "fine"), key=lambda one: one.level != "act")
    notes = [*scored.notes, *_gaps(reference, events)]
    return sealed(
        Monitoring(
            dataset=reference.dataset.name,
            as_of=as_of,
            model_digest=digest,
            reference_sha256=str(reference.manifest.sha256),
            sources=scored.sources,
            label_delay_days=reference.dataset.label_delay_days,
            settings=config,
            threshold=reference.decisions.threshold,
            alert_share=reference.decisions.rate,
            baseline={name: Figure.of(one) for name, one in reference.baseline.items()},
            level=newest.level,
            reasons=tuple(f"{one.title}: {one.reason}" for one in told),
            days=days,
            weeks=weeks,
            alarms=alarms,
            notes=tuple(notes),
        )
    )


def _since(days: Sequence[MonitoredDay], signal: Signal) -> datetime:
    """The first of the unbroken days up to the newest on which a signal called for action."""
    since = days[-1].start
    for day in reversed(days):
        if not any(one.title == signal.title and one.level == "act" for one in day.signals):
            break
        since = day.start
    return since


def _gaps(reference: Reference, events: EventDays | None) -> list[str]:
    """What could not be looked at, and why."""
    said = []
    if events is None:
        said.append(
            "no raw orders were given: columns, histories, late orders and amounts were not looked at"
        )
    elif events.amount is None:
        said.append("the dataset description names no amount: no money is counted")
    if events is not None and reference.training is None:
        said.append("the model folder is of a former version without histograms: columns were not compared")
    if reference.odds is None:
        said.append("the model has no calibrator: nothing can be estimated before labels come")
    return said
