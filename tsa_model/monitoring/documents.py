"""What monitoring found, as one sealed document."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import NonNegativeInt

from tsa_model.evaluation.intervals import Interval
from tsa_model.sealed import Digest, Signed, digest_of, read_sealed
from tsa_model.settings import Settings
from tsa_model.settings.monitoring import MonitoringConfig

Level = Literal["fine", "look", "act"]
LEVELS: tuple[Level, ...] = ("fine", "look", "act")
"""From the best to the worst."""


class Figure(Settings):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> Self:
        """The same as a document holds it."""
        return cls(value=interval.value, low=interval.low, high=interval.high)

    def holds(self, value: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= value <= self.high


class Signal(Settings):
    """One thing that was looked at on a day."""

    name: str
    """Such as "drift of column"."""
    subject: str = ""
    """The column or key it is about; empty = all orders."""
    value: float
    level: Level
    reason: str
    """In words, with the figure and what was expected."""
    needs_labels: bool = False

    @property
    def title(self) -> str:
        """Name and subject."""
        return f"{self.name} {self.subject}".rstrip()


class MonitoredPeriod(Settings):
    """A day or a week of scored orders."""

    start: datetime
    end: datetime
    """The first moment after it; the last period may end where the orders do."""
    orders: NonNegativeInt
    labelled: NonNegativeInt
    frauds: NonNegativeInt
    """Among the labelled orders."""
    is_labelled: bool
    """Whether the label delay is over and enough labels have come; only then are there realised figures."""
    realised: dict[str, Figure] = {}
    estimated: dict[str, Figure] = {}
    """From the probabilities, without a label of this period or a later one."""


class MonitoredDay(MonitoredPeriod):
    """A day, with everything that was known when it ended."""

    signals: tuple[Signal, ...] = ()
    """Those about labels look at the seven newest days whose labels were due when this day ended."""
    level: Level = "fine"


class Alarm(Settings):
    """A signal that calls for action, and the day since when."""

    id: Digest
    """Of model, signal and first day: the same alarm seen again has the same id."""
    signal: str
    since: datetime
    reason: str


class Monitoring(Signed):
    """The content of `monitoring.json`."""

    format: Literal[1] = 1
    dataset: str
    as_of: datetime
    """What was known then counts; labels are due when an order is older by the label delay."""
    model_digest: Digest
    reference_sha256: Digest
    """Of the manifest of the scores that the model's run left."""
    sources: dict[str, Digest]
    """Files of scored orders."""
    label_delay_days: float
    settings: MonitoringConfig
    threshold: float
    """Scores at or above it raise an alert."""
    alert_share: float
    """Share of orders at which recall and precision are compared."""
    baseline: dict[str, Figure]
    """Figures of the reference's test period."""
    level: Level
    """Of the newest day."""
    reasons: tuple[str, ...]
    """Why, the worst first."""
    days: tuple[MonitoredDay, ...]
    """Oldest first."""
    weeks: tuple[MonitoredPeriod, ...]
    """From Monday to Sunday, oldest first."""
    alarms: tuple[Alarm, ...]
    """Signals that call for action on the newest day."""
    notes: tuple[str, ...]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a document and check its seal.

        Raises:
            ValueError: the file is missing, was edited, or holds something else.
        """
        return read_sealed(Path(path), cls, "what monitoring found", "run 'tsa monitor'")


def worst(levels: tuple[Level, ...] | list[Level]) -> Level:
    """The worst of some levels; fine if there is none."""
    return max(levels, key=LEVELS.index, default="fine")


def alarm_id(model_digest: str, signal: str, since: datetime) -> str:
    """The digest that names an alarm."""
    return digest_of({"model": model_digest, "signal": signal, "since": since.isoformat()})
