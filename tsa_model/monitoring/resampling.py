"""Bootstrap intervals of a period's figures in time that grows with its frauds, not with its orders.

`tsa_model.evaluation.evaluate` gives every order a Poisson weight. The genuine orders between two frauds
enter each figure by their sum alone, and a sum of g such weights is Poisson with mean g: one draw per gap
gives the same distribution. With few frauds the weights are exponential and two unseen orders join in, as
there; the sum of g of these is Gamma of shape g.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.intervals import FEW, TAILS, Interval

FloatArray = NDArray[np.float64]
FIGURES = (
    "auc",
    "average_precision",
    "recall",
    "precision",
    "alert_rate",
    "recall_at_rate",
    "precision_at_rate",
    "reached_at_rate",
)


@dataclass(frozen=True)
class Decisions:
    """Where a score becomes an alert."""

    threshold: float
    """Scores at or above it raise an alert."""
    rate: float
    """Share of orders at which the figures `..._at_rate` are taken, in (0, 1).

    `reached_at_rate` is the frauds among so many alerts over those that they could hold at most: where there
    are more frauds than alerts, recall falls when fraud rises, whatever the model does.
    """


@dataclass(frozen=True)
class Ranks:
    """A period's labelled orders from the highest score down: L levels of score, with gaps between them.

    A level is a score that a fraud has, or the alert threshold, where both numbers are 0.
    """

    frauds: FloatArray
    """[L] frauds at each level's score."""
    ties: FloatArray
    """[L] genuine orders at it."""
    gaps: FloatArray
    """[L + 1] genuine orders above the first level, between levels, and below the last."""
    alerts: int
    """Levels at or above the threshold."""

    @classmethod
    def of(cls, score: FloatArray, label: NDArray[np.integer], threshold: float) -> Ranks:
        """Count the orders of a period.

        Args:
            score: [N] raw scores.
            label: [N] 0 or 1.
            threshold: of an alert.
        """
        fraud = label == 1
        levels = np.unique(np.append(score[fraud], threshold))[::-1]
        # Ascending places of each score among the levels: even = in a gap, odd = at a level.
        ascending = levels[::-1]
        place = np.searchsorted(ascending, score, "left") + np.searchsorted(ascending, score, "right")
        genuine = np.bincount(place[~fraud], minlength=2 * levels.size + 1).astype(np.float64)[::-1]
        frauds = np.bincount(place[fraud], minlength=2 * levels.size + 1).astype(np.float64)[::-1]
        return cls(frauds[1::2], genuine[1::2], genuine[::2], int((levels >= threshold).sum()))

    @property
    def n_frauds(self) -> int:
        """Orders with label 1."""
        return int(self.frauds.sum())

    @property
    def n_genuine(self) -> int:
        """Orders with label 0."""
        return int(self.ties.sum() + self.gaps.sum())

    def with_unseen(self, worst: bool) -> Ranks:
        """One fraud and one genuine order more, ranked wrongly if `worst`, else rightly."""
        frauds, ties, gaps = self.frauds, self.ties, self.gaps
        if worst:  # the genuine order on top, the fraud below all
            first = np.append(gaps[0] + 1.0, gaps[1:])
            return replace(
                self,
                frauds=np.append(frauds, 1.0),
                ties=np.append(ties, 0.0),
                gaps=np.append(first, 0.0),
            )
        gaps = np.append(gaps[:-1], gaps[-1] + 1.0)
        return Ranks(np.append(1.0, frauds), np.append(0.0, ties), np.append(0.0, gaps), self.alerts + 1)

    def drawn(self, size: int, few: bool, generator: np.random.Generator) -> Ranks:
        """`size` resamples at once: the same levels, with a leading axis of resamples."""

        def draw(counts: FloatArray) -> FloatArray:
            shape = (size, counts.size)
            return (
                generator.standard_gamma(counts, shape)
                if few
                else generator.poisson(counts, shape).astype(float)
            )

        return Ranks(draw(self.frauds), draw(self.ties), draw(self.gaps), self.alerts)

    def figures(self, rate: float) -> dict[str, FloatArray]:
        """Every figure of `FIGURES`, [...] over the leading axes; NaN where it has no meaning."""
        frauds = self.frauds.cumsum(axis=-1)
        ties = self.ties.cumsum(axis=-1)
        above = self.gaps[..., :-1].cumsum(axis=-1)
        genuine = above + ties
        n_frauds = frauds[..., -1]
        n_genuine = genuine[..., -1] + self.gaps[..., -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            better = n_genuine[..., None] - genuine + 0.5 * self.ties
            auc = (self.frauds * better).sum(axis=-1) / (n_frauds * n_genuine)
            precision = np.where(self.frauds > 0, frauds / (frauds + genuine), 0.0)
            hits = frauds[..., self.alerts - 1]
            alerts = hits + genuine[..., self.alerts - 1]
            caught = self._caught(frauds, genuine, rate * (n_frauds + n_genuine))
            return {
                "auc": np.minimum(auc, 1.0),
                "average_precision": (self.frauds * precision).sum(axis=-1) / n_frauds,
                "recall": hits / n_frauds,
                "precision": hits / alerts,
                "alert_rate": alerts / (n_frauds + n_genuine),
                "recall_at_rate": caught / n_frauds,
                "precision_at_rate": caught / (rate * (n_frauds + n_genuine)),
                "reached_at_rate": caught / np.minimum(n_frauds, rate * (n_frauds + n_genuine)),
            }

    def _caught(self, frauds: FloatArray, genuine: FloatArray, n_alerts: FloatArray) -> FloatArray:
        """Frauds among the highest-scored `n_alerts` [...] orders; a tie is cut as chance would cut it."""
        before = np.stack([frauds - self.frauds, frauds], axis=-1)
        orders = before + np.stack([genuine - self.ties, genuine], axis=-1)
        flat = before.reshape(-1, 2 * frauds.shape[-1]), orders.reshape(-1, 2 * frauds.shape[-1])
        found = [
            np.interp(wanted, np.append(0.0, x), np.append(0.0, y))
            for y, x, wanted in zip(*flat, np.ravel(n_alerts), strict=True)
        ]
        return np.array(found).reshape(np.shape(n_alerts))


def ranked_figures(
    ranks: Ranks, rate: float, n_resamples: int, generator: np.random.Generator
) -> dict[str, Interval]:
    """Every figure of a period with its bootstrap interval; one without meaning is left out.

    Args:
        ranks: of the period.
        rate: share of orders of the figures at a rate.
        n_resamples: bootstrap samples.
        generator: of the resampling.
    """
    values = ranks.figures(rate)
    few = min(ranks.n_frauds, ranks.n_genuine) < FEW
    cases = [ranks.with_unseen(worst=True), ranks.with_unseen(worst=False)] if few else [ranks]
    samples = [case.drawn(n_resamples, few, generator).figures(rate) for case in cases]
    return {
        name: interval(float(value), [case[name] for case in samples])
        for name, value in values.items()
        if np.isfinite(value)
    }


def interval(value: float, cases: list[FloatArray]) -> Interval:
    """A value with the interval that holds the middle of every case's samples [n]; NaN are left out."""
    kept = [case[np.isfinite(case)] for case in cases]
    bounds = [np.quantile(case, TAILS) for case in kept if case.size]
    low = min((float(one[0]) for one in bounds), default=value)
    high = max((float(one[1]) for one in bounds), default=value)
    return Interval(value, min(low, value), max(high, value))
