"""What a search found, as a sealed document."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from tsa_model.sealed import Signed, read_sealed
from tsa_model.settings.base import Settings
from tsa_model.settings.tuning import Value


class TriedTrial(Settings):
    """One trial of a search."""

    number: int
    outcome: Literal["complete", "pruned", "failed"]
    value: float | None
    """The judged figure of its best epoch; None = it did not get that far."""
    again: float | None = None
    """The same with another seed, of the finalists."""
    values: dict[str, Value]
    """Searched setting → what was tried."""

    @property
    def judged(self) -> float | None:
        """The mean of both trainings of a finalist; None of any other trial."""
        return None if self.value is None or self.again is None else (self.value + self.again) / 2


class Untouched(Settings):
    """A figure of the test period, which nobody looked at during the search."""

    own: float
    """Of the description's own settings."""
    winner: float
    difference: float
    low: float
    """Lower end of the 95 % interval of the difference, by a paired bootstrap."""
    high: float


class TuningResult(Signed):
    """A finished search."""

    format: Literal[1] = 1
    metric: str
    """The judged figure, of the validation and the calibration period together."""
    seed: int
    judged: tuple[datetime, datetime]
    judged_frauds: int
    untouched: tuple[datetime, datetime]
    untouched_rows: int
    untouched_frauds: int
    trials: tuple[TriedTrial, ...]
    own: int
    """Number of the trial with the description's own settings."""
    winner: int
    importance: dict[str, float] = {}
    """Searched setting → its share in how much the trials differ; empty with too few whole trials."""
    figures: dict[str, Untouched]

    def trial(self, number: int) -> TriedTrial:
        """The trial of that number."""
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def key_figure(self) -> str:
        """The search in one line."""
        own, best = self.trial(self.own), self.trial(self.winner)
        ap = self.figures["average_precision"]
        return (
            f"{self.metric} {best.judged:.4f} on the inner weeks (own settings {own.judged:.4f}); AP of the"
            f" untouched weeks {ap.winner:.4f} ({ap.difference:+.4f}, {ap.low:+.4f} to {ap.high:+.4f})"
        )

    @classmethod
    def load(cls, path: str | Path) -> TuningResult:
        """Read a result.

        Raises:
            ValueError: it is missing, no such document, or was edited.
        """
        return read_sealed(Path(path), cls, "the result of a search", "run tsa tune first")
