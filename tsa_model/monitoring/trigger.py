"""From alarms to at most one run: the same alarm starts none twice, and runs keep their distance."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from tsa_model.monitoring.documents import Alarm, Monitoring
from tsa_model.sealed import Digest, Sealed, read_sealed, write_sealed
from tsa_model.settings import Settings
from tsa_model.settings.monitoring import AskedFor, RetrainConfig

GAP = timedelta(days=7)
"""An alarm that was silent for longer is a new one."""
WEEK = timedelta(days=7)


class StartedRun(Settings):
    """A run that alarms started."""

    alarm: Digest
    model_digest: Digest
    signals: tuple[str, ...]
    """Of the alarms that it answers."""
    last_seen: datetime
    """As of when one of them was last raised."""
    started_at: datetime
    run_name: str
    link: str


class Ledger(Sealed):
    """The content of `retraining.json`: every run that alarms started, oldest first."""

    format: Literal[1] = 1
    runs: tuple[StartedRun, ...] = ()


class Decision(NamedTuple):
    """Whether to start a run, and why."""

    alarm: Alarm | None
    """The alarm to start a run for; None = none is started."""
    reason: str
    ledger: Ledger
    """With the alarms that were seen again."""


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Read a ledger and keep others from starting runs by it until the context ends.

    Raises:
        ValueError: it was edited, or is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        what = "the list of runs that alarms started"
        yield read_sealed(path, Ledger, what) if path.exists() else Ledger()


def save_ledger(path: Path, ledger: Ledger) -> None:
    """Write what `open_ledger` reads."""
    write_sealed(path, ledger)


def decide(found: Monitoring, ledger: Ledger, limits: RetrainConfig, now: datetime) -> Decision:
    """Choose the alarm to start a run for.

    Args:
        found: what monitoring found.
        ledger: the runs that alarms started before.
        limits: cool-down and weekly cap.
        now: the clock, with a time zone.
    """
    runs, unanswered = list(ledger.runs), []
    for alarm in found.alarms:
        place = next((i for i, run in enumerate(runs) if _answers(run, alarm, found)), None)
        if place is None:
            unanswered.append(alarm)
        else:
            runs[place] = runs[place].changed(last_seen=max(runs[place].last_seen, found.as_of))
    seen = Ledger(runs=tuple(runs))
    if not found.alarms:
        return Decision(None, f"nothing calls for a run: the level is {found.level}", seen)
    if not unanswered:
        names = ", ".join(dict.fromkeys(run.run_name for run in runs if run.last_seen == found.as_of))
        return Decision(None, f"a run was started for this before: {names}", seen)
    newest = max((run.started_at for run in runs), default=None)
    rest = timedelta(days=limits.cool_down_days)
    if newest is not None and now - newest < rest:
        words = f"the last run began {newest:%Y-%m-%d %H:%M} UTC, and none begins before"
        return Decision(
            None, f"{words} {newest + rest:%Y-%m-%d %H:%M} UTC (monitoring.retrain.cool_down_days)", seen
        )
    within = sum(now - run.started_at < WEEK for run in runs)
    if within >= limits.most_per_week:
        words = f"{within} runs began within seven days, and no more than {limits.most_per_week} may"
        return Decision(None, f"{words} (monitoring.retrain.most_per_week)", seen)
    chosen = min(unanswered, key=lambda alarm: alarm.since)
    return Decision(chosen, f"{chosen.signal} calls for a run since {chosen.since:%Y-%m-%d}", seen)


def _answers(run: StartedRun, alarm: Alarm, found: Monitoring) -> bool:
    """Whether a run was started for this alarm: of the same model, and not silent for long since."""
    if run.alarm == alarm.id:
        return True
    is_same = run.model_digest == found.model_digest and alarm.signal in run.signals
    return is_same and alarm.since - run.last_seen <= GAP


def window_end(found: Monitoring) -> datetime:
    """The end of the newest complete day of data: a run for it ends its test where labels are known."""
    return found.as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def asked_for(found: Monitoring, alarm: Alarm, page: str) -> AskedFor:
    """What the new run's description says of the alarm.

    Args:
        found: what monitoring found.
        alarm: one of its alarms.
        page: address or absolute path of its page.
    """
    return AskedFor(
        alarm=alarm.id,
        signals=tuple(one.signal for one in found.alarms),
        since=alarm.since,
        document_sha256=str(found.sha256),
        page=page,
    )


def run_name(alarm: Alarm) -> str:
    """The name of the run that an alarm starts: the server finds it by this where the ledger is lost."""
    return f"retrain-{alarm.id[:12]}"


def with_run(ledger: Ledger, found: Monitoring, alarm: Alarm, link: str, now: datetime) -> Ledger:
    """The ledger with a run more."""
    started = StartedRun(
        alarm=alarm.id,
        model_digest=found.model_digest,
        signals=tuple(one.signal for one in found.alarms),
        last_seen=found.as_of,
        started_at=now,
        run_name=run_name(alarm),
        link=link,
    )
    return Ledger(runs=(*ledger.runs, started))
