"""Days and weeks of scored orders: what they came to, and what was expected of them before labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.intervals import FEW, Interval
from tsa_model.monitoring.calendar import WEEK, days_of, moment, rows_between
from tsa_model.monitoring.corrections import Correction, Expectation
from tsa_model.monitoring.documents import Figure, MonitoredPeriod
from tsa_model.monitoring.estimation import SortedOrders, estimate
from tsa_model.monitoring.orders import ScoredDays
from tsa_model.monitoring.reference import Reference
from tsa_model.monitoring.resampling import Ranks, interval, ranked_figures
from tsa_model.settings.monitoring import MonitoringConfig

FloatArray = NDArray[np.float64]
NEWEST_BLOCKS = {WEEK: 26, 1: 56}
"""Length in days → labelled blocks that an estimate learns from, the newest ones."""


@dataclass
class Periods:
    """Makes the figures of days and weeks; remembers the corrections of those that are labelled."""

    reference: Reference
    scored: ScoredDays
    amount: FloatArray | None
    """[N] of the scored orders; NaN where it is not known."""
    config: MonitoringConfig
    label_delay: float
    as_of_day: float
    """The moment of knowledge, in days since 1970-01-01."""
    corrections: dict[int, dict[int, Correction]] = field(default_factory=dict)
    """Length in days → first day → correction."""

    def __post_init__(self) -> None:
        self.days = days_of(self.scored.time_us)
        self.corrections = {length: self.reference.corrections(length) for length in (1, WEEK)}

    def period(self, first: int, length: int) -> MonitoredPeriod:
        """The figures of a day or a week; periods of one length are asked for from the oldest to the newest.

        Args:
            first: the period's first day.
            length: 1 or 7 days.
        """
        rows = rows_between(self.days, first, first + length)
        label = self.scored.label[rows]
        known = label >= 0
        is_due = first + length + self.label_delay <= self.as_of_day
        is_labelled = bool(is_due and label.size and known.mean() >= self.config.label_share)
        generator = np.random.default_rng((self.config.seed, first, length))
        estimated = self._estimated(rows, first, length, generator)
        realised: dict[str, Interval] = {}
        if is_labelled:
            realised = self._realised(rows, known, generator)
            probability = self.scored.probability[rows][known]
            if self.reference.odds is not None and np.isfinite(probability).all():
                fitted = self.reference.odds.fit(probability, label[known])
                self.corrections[length][first] = fitted
        return MonitoredPeriod(
            start=moment(first),
            end=moment(first + length),
            orders=label.size,
            labelled=int(known.sum()),
            frauds=int((label == 1).sum()),
            is_labelled=is_labelled,
            realised={name: Figure.of(one) for name, one in realised.items()},
            estimated={name: Figure.of(one) for name, one in estimated.items()},
        )

    def _estimated(
        self, rows: slice, first: int, length: int, generator: np.random.Generator
    ) -> dict[str, Interval]:
        """By the blocks whose labels were known when the period ended."""
        odds, probability = self.reference.odds, self.scored.probability[rows]
        if odds is None or not np.isfinite(probability).all():
            return {}
        end = min(float(first + length), self.as_of_day)
        blocks = sorted(self.corrections[length].items())
        known = [one for day, one in blocks if day + length + self.label_delay <= end]
        expected = Expectation.of(known[-NEWEST_BLOCKS[length] :])
        orders = SortedOrders.of(self.scored.score[rows], probability, self._amounts(rows))
        decisions, draws = self.reference.decisions, self.config.resamples
        return estimate(orders, odds, expected, decisions, draws, generator)

    def _realised(
        self, rows: slice, known: NDArray[np.bool_], generator: np.random.Generator
    ) -> dict[str, Interval]:
        score, label = self.scored.score[rows][known], self.scored.label[rows][known]
        frauds = int((label == 1).sum())
        found = {"frauds": Interval(frauds, frauds, frauds)}
        found["fraud_rate"] = _share(frauds, label.size)
        probability = self.scored.probability[rows][known]
        if np.isfinite(probability).all() and (promised := float(probability.sum())) > 0:
            found["calibration"] = _ratio(frauds, promised)
        decisions, resamples = self.reference.decisions, self.config.resamples
        if 0 < frauds < label.size:
            ranks = Ranks.of(score, label, decisions.threshold)
            found |= ranked_figures(ranks, decisions.rate, resamples, generator)
        if (amount := self._amounts(rows)) is not None:
            caught = score >= decisions.threshold
            fraud = label == 1
            for name, part in (("amount_saved", fraud & caught), ("amount_lost", fraud & ~caught)):
                found[name] = _sum(amount[known][part], resamples, generator)
        return found

    def _amounts(self, rows: slice) -> FloatArray | None:
        if self.amount is None or not np.isfinite(self.amount[rows]).all():
            return None
        return self.amount[rows]


def amounts_of(scored: ScoredDays, order_id: NDArray[Any], amount: FloatArray) -> FloatArray:
    """[N] amounts of the scored orders; NaN where the raw orders lack one.

    Args:
        scored: N orders.
        order_id: [M] of the raw orders, each once.
        amount: [M] of the same.
    """
    if not order_id.size:
        return np.full(scored.order_id.size, np.nan)
    by_id = np.argsort(order_id, kind="stable")
    place = np.searchsorted(order_id, scored.order_id, sorter=by_id).clip(max=order_id.size - 1)
    found = by_id[place]
    return np.where(order_id[found] == scored.order_id, amount[found], np.nan)


def _share(count: int, size: int) -> Interval:
    """Jeffreys' interval of a share."""
    from scipy.special import betaincinv

    low, high = betaincinv(count + 0.5, size - count + 0.5, [0.025, 0.975])
    return Interval(count / size, min(float(low), count / size), float(high))


def _ratio(frauds: int, promised: float) -> Interval:
    """Frauds over those promised, with the interval of a Poisson count."""
    from scipy.special import gammaincinv

    low, high = gammaincinv(frauds + 0.5, [0.025, 0.975]) / promised
    value = frauds / promised
    return Interval(value, min(float(low), value), float(high))


def _sum(values: FloatArray, resamples: int, generator: np.random.Generator) -> Interval:
    """A sum of amounts with its bootstrap interval; few may have missed one more of the largest."""
    total = float(values.sum())
    drawn = generator.poisson(1.0, (resamples, values.size)) @ values
    found = interval(total, [drawn.astype(np.float64)])
    unseen = float(values.max(initial=0.0)) if values.size < FEW else 0.0
    return Interval(total, found.low, found.high + unseen)
