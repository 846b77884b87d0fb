"""Every signal of a day, from what was known when the day ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.stability import stability_beyond_chance
from tsa_model.monitoring import signals as kinds
from tsa_model.monitoring.calendar import WEEK, days_of, rows_between
from tsa_model.monitoring.columns import EventDays
from tsa_model.monitoring.corrections import Correction, Expectation
from tsa_model.monitoring.documents import Signal
from tsa_model.monitoring.orders import ScoredDays
from tsa_model.monitoring.reference import Reference
from tsa_model.monitoring.resampling import Ranks, ranked_figures
from tsa_model.settings.monitoring import MonitoringConfig

WEEKS_BEFORE = 28
"""Days whose median share of orders without history is usual."""
WINDOW_RESAMPLES = 100
MINUTE_US = 60 * 1_000_000


@dataclass(frozen=True)
class DailySignals:
    """Looks at single days of scored orders."""

    reference: Reference
    scored: ScoredDays
    events: EventDays | None
    config: MonitoringConfig
    label_delay: float
    """Days."""
    weekly: dict[int, Correction]
    """Monday → correction of each labelled week, of the reference and of production."""

    @cached_property
    def _days(self) -> NDArray[np.int64]:
        return days_of(self.scored.time_us)

    @cached_property
    def _score_bins(self) -> NDArray[np.intp]:
        return np.searchsorted(self.reference.score_edges, self.scored.score, side="right")

    @cached_property
    def _alerts(self) -> NDArray[np.float64]:
        return (self.scored.score >= self.reference.decisions.threshold).astype(np.float64)

    def of(self, day: int) -> tuple[Signal, ...]:
        """The signals of a day by its own figures; `lasting` compares them with the day before."""
        return (*self._of_scores(day), *self._of_events(day), *self._of_labels(day))

    def _of_scores(self, day: int) -> Iterator[Signal]:
        rows, week = rows_between(self._days, day, day + 1), self._week(day)
        size = rows.stop - rows.start
        if not size:
            yield Signal(
                name=kinds.NO_ORDERS, value=0.0, level="look", reason="no order of this day was scored"
            )
            return
        n_bins = self.reference.score_counts.size
        counts = [np.bincount(self._score_bins[part], minlength=n_bins) for part in (rows, week)]
        found = [stability_beyond_chance(self.reference.score_counts, one) for one in counts]
        whole = np.unique(self._days[week]).size == WEEK
        yield kinds.drift(kinds.SCORE_DRIFT, "", found[0], found[1], whole, self.config.psi)
        yield from self._against_usual(day)
        waited = self.scored.waited_us[rows]
        if (said := waited >= 0).any():
            late = float((waited[said] > self.config.late_minutes * MINUTE_US).mean())
            words = f"of the orders were answered more than {self.config.late_minutes:g} minutes late"
            yield kinds.share_signal(kinds.LATE, words, late, int(said.sum()), self.config.late)
        elif self.events is not None and 0 <= day - self.events.first < self.events.orders.size:
            there = int(self.events.orders[day - self.events.first])
            late = max(there - size, 0) / max(there, 1)
            words = "of the orders are in the event log and were not scored"
            yield kinds.share_signal(kinds.LATE, words, late, there, self.config.late)

    def _against_usual(self, day: int) -> Iterator[Signal]:
        """Alerts and probabilities of the day, and of two days, against the reference's days."""
        rows, both = rows_between(self._days, day, day + 1), rows_between(self._days, day - 1, day + 1)
        has_before = both.start < rows.start

        def shares(values: NDArray[np.floating]) -> tuple[kinds.Share, kinds.Share | None]:
            found = [kinds.Share(float(values[part].mean()), part.stop - part.start) for part in (rows, both)]
            return found[0], found[1] if has_before else None

        usual, levels = self.reference.alert_rate, self.config.alert_rate
        yield from _some(
            kinds.against_usual(kinds.ALERT_RATE, "alerts", *shares(self._alerts), usual, levels)
        )
        promised, levels = self.reference.expected_fraud, self.config.expected_fraud
        if promised is not None and np.isfinite(self.scored.probability[both]).all():
            found = shares(self.scored.probability)
            what = "mean probability"
            yield from _some(kinds.against_usual(kinds.EXPECTED_FRAUD, what, *found, promised, levels))

    def _week(self, day: int) -> slice:
        return rows_between(self._days, day - WEEK + 1, day + 1)

    def _of_events(self, day: int) -> Iterator[Signal]:
        events = self.events
        if events is None or not 0 <= (place := day - events.first) < events.orders.size:
            return
        size = int(events.orders[place])
        if not size:
            return
        week = slice(max(place - WEEK + 1, 0), place + 1)
        whole = place >= WEEK - 1 and bool((events.orders[week] > 0).all())
        for column in events.columns:
            expected = np.array(column.histogram.counts)
            found = [
                stability_beyond_chance(expected, counts)
                for counts in (column.days[place], column.days[week].sum(axis=0))
            ]
            yield kinds.drift(kinds.DRIFT, column.histogram.name, found[0], found[1], whole, self.config.psi)
        for name, share in events.unknown.items():
            yield kinds.unknown_share(name, float(share[place]), size, self.config.unknown)
        for key, mean in events.history.items():
            if usual := self.reference.description.training_history.get(key, 0.0):
                yield kinds.history_length(key, float(mean[place]), usual, self.config.history)
        before = slice(max(place - WEEKS_BEFORE, 0), place)
        for key, share in events.without_history.items():
            past = share[before][events.orders[before] > 0]
            if past.size >= WEEK:
                usual = float(np.median(past))
                levels = self.config.without_history
                yield kinds.without_history(key, float(share[place]), usual, size, levels)

    def _of_labels(self, day: int) -> Iterator[Signal]:
        """Of the seven newest days whose labels were due when this day ended."""
        end = int(np.floor(day + 1 - self.label_delay))
        rows = rows_between(self._days, end - WEEK, end)
        size = rows.stop - rows.start
        if not size:
            return
        label = self.scored.label[rows]
        known = label >= 0
        words = "of the orders of the seven days whose labels are due have none"
        lack = float(1 - known.mean())
        yield kinds.share_signal(
            kinds.LABEL_LACK, words, lack, size, self.config.label_lack, needs_labels=True
        )
        frauds = int((label == 1).sum())
        if known.mean() < self.config.label_share or not 0 < frauds < known.sum():
            return
        ranks = Ranks.of(self.scored.score[rows][known], label[known], self.reference.decisions.threshold)
        generator = np.random.default_rng((self.config.seed, day))
        found = ranked_figures(ranks, self.reference.decisions.rate, WINDOW_RESAMPLES, generator)
        for figure in kinds.losses(self.reference.baseline):
            if figure in found:
                yield kinds.loss(figure, found[figure], self.reference.baseline[figure], self.config.loss)
        promised = self.scored.probability[rows][known]
        if np.isfinite(promised).all() and self.weekly:
            earlier = [one for first, one in self.weekly.items() if first + WEEK + self.label_delay <= end]
            spread = float(np.sqrt(Expectation.of(earlier).spread[0]))
            yield kinds.calibration(frauds, float(promised.sum()), spread, self.config.calibration)


def _some(signal: Signal | None) -> tuple[Signal, ...]:
    return () if signal is None else (signal,)
