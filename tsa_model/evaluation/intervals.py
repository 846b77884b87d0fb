"""Every figure of a scored period with a bootstrap interval, honest where there are few frauds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.evaluation.metrics import (
    ALERT_RATES,
    FloatArray,
    Ranking,
    auc,
    average_precision,
    decision_figures,
    recall_at_rates,
    reliability_bins,
)

RESAMPLES, MIN_RESAMPLES = 200, 50
RESAMPLED_ROWS = 20_000_000
FEW = 100
"""With fewer frauds or genuine orders than this, an interval allows for one unseen order of each class."""
TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A figure and the middle of its bootstrap distribution, 95 % unless said otherwise."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def evaluate(
    score: ArrayLike,
    label: ArrayLike,
    probability: ArrayLike | None = None,
    thresholds: dict[str, float] | None = None,
    amount: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    n_resamples: int | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Every figure of a scored period with its bootstrap interval.

    A bootstrap knows no orders but those it has seen; over one fraud it has no spread. With fewer than 100
    frauds or genuine orders the interval therefore holds what one unseen order of each class could change,
    once the worst and once the best for the model; `tsa_model.promotion.bootstrap` says why that is enough.

    Args:
        score: [N] raw scores.
        label: [N] 0 or 1, both present.
        probability: [N] calibrated; adds `brier`, `ece` and the mean.
        thresholds: name → score; adds `<figure>@<name>`.
        amount: [N] value of each order, ≥ 0; adds the share of fraudulent value found.
        weight: [N] how many orders each one stands for, such as the inverse of the probability that its
            label became known; None = 1 each.
        n_resamples: bootstrap samples of the orders; None = 200, fewer for more than 100,000 orders.
        seed: of the resampling.

    Returns:
        Figure → value and interval.
    """
    period = Period.of(score, label, probability, amount, weight, thresholds)
    generator = np.random.default_rng(seed)
    n_resamples = resamples_for(period.scores.size) if n_resamples is None else n_resamples
    result = bootstrap(period, Period.figures, n_resamples, generator)
    if period.chances is not None:
        result["ece"] = _resampled_ece(period, n_resamples, generator)
    return result


def resamples_for(n_rows: int) -> int:
    """Bootstrap samples that are drawn of so many orders."""
    return max(MIN_RESAMPLES, min(RESAMPLES, RESAMPLED_ROWS // max(n_rows, 1)))


def bootstrap(
    period: Period,
    figures: Callable[[Period, Ranking, FloatArray], dict[str, float]],
    n_resamples: int,
    generator: np.random.Generator,
) -> dict[str, Interval]:
    """Figures of a period, each with its bootstrap interval.

    Args:
        period: the orders, of both classes.
        figures: from a period, the ranking of its scores and [N] weights of its orders, name → value.
        n_resamples: bootstrap samples.
        generator: of the resampling.
    """
    ranking = Ranking(period.scores, period.labels)
    n_rows = period.scores.size
    values = figures(period, ranking, period.weights)
    if period.counts_for_least() >= FEW:
        weights = (generator.poisson(1.0, n_rows).astype(np.float64) for _ in range(n_resamples))
        samples = [[figures(period, ranking, weight * period.weights) for weight in weights]]
    else:
        cases = [period.with_unseen(worst=True), period.with_unseen(worst=False)]
        rankings = [Ranking(case.scores, case.labels) for case in cases]
        drawn = [generator.standard_exponential(n_rows + 2) for _ in range(n_resamples)]
        samples = [
            [figures(case, sorted_case, weight * case.weights) for weight in drawn]
            for case, sorted_case in zip(cases, rankings, strict=True)
        ]
    return {
        name: _interval(value, [[s[name] for s in case if name in s] for case in samples])
        for name, value in values.items()
    }


@dataclass(frozen=True)
class Period:
    """N scored orders."""

    scores: FloatArray
    labels: FloatArray
    chances: FloatArray | None
    """Calibrated probabilities."""
    amounts: FloatArray | None
    weights: FloatArray
    """How many orders each one stands for."""
    thresholds: dict[str, float]

    @classmethod
    def of(
        cls,
        score: ArrayLike,
        label: ArrayLike,
        probability: ArrayLike | None = None,
        amount: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        thresholds: dict[str, float] | None = None,
    ) -> Period:
        """The same arguments as `evaluate`."""
        scores = np.asarray(score, np.float64)
        return cls(
            scores=scores,
            labels=np.asarray(label, np.float64),
            chances=None if probability is None else np.asarray(probability, np.float64),
            amounts=None if amount is None else np.asarray(amount, np.float64),
            weights=np.ones(scores.size) if weight is None else np.asarray(weight, np.float64),
            thresholds=thresholds or {},
        )

    def where(self, chosen: NDArray[Any]) -> Period:
        """Some of the orders.

        Args:
            chosen: [N] True, or places, of the orders to keep.
        """
        return replace(
            self,
            scores=self.scores[chosen],
            labels=self.labels[chosen],
            chances=None if self.chances is None else self.chances[chosen],
            amounts=None if self.amounts is None else self.amounts[chosen],
            weights=self.weights[chosen],
        )

    def counts_for_least(self) -> float:
        """As how many equally heavy orders the rarer class counts (Kish): its number where all weigh 1."""
        of_classes = [self.weights[self.labels == value] for value in (0, 1)]
        return min(float(one.sum() ** 2 / max((one**2).sum(), 1e-300)) for one in of_classes)

    def with_unseen(self, worst: bool) -> Period:
        """One fraud and one genuine order more: ranked wrongly if `worst`, else rightly.

        Their probabilities are the lowest and the highest of the period; the fraud's amount is the largest
        that a fraud of the period has.
        """
        fraud_first = not worst

        def ends(low: float, high: float) -> list[float]:
            return [high, low] if fraud_first else [low, high]

        def more(values: FloatArray | None, added: list[float]) -> FloatArray | None:
            return None if values is None else np.append(values, added)

        chances, amounts, weights = self.chances, self.amounts, self.weights
        largest = 0.0 if amounts is None else float(amounts[self.labels == 1].max())
        return replace(
            self,
            scores=np.append(self.scores, ends(-np.inf, np.inf)),
            labels=np.append(self.labels, [1.0, 0.0]),
            chances=None if chances is None else more(chances, ends(chances.min(), chances.max())),
            amounts=more(amounts, [largest, 0.0]),
            weights=np.append(weights, [weights[self.labels == value].mean() for value in (1, 0)]),
        )

    def figures(self, ranking: Ranking, weight: FloatArray) -> dict[str, float]:
        """Every figure of the orders, each counted `weight` [N] times; `ranking` is that of the scores."""
        fraud, genuine = ranking.counts(weight)
        found = {
            "auc": float(auc(fraud, genuine)),
            "average_precision": float(average_precision(fraud, genuine)),
        }
        for rate, recall in zip(ALERT_RATES, recall_at_rates(fraud, genuine, ALERT_RATES), strict=True):
            found[f"recall@{rate:.1%}"] = float(recall)
        if self.amounts is not None and (valued := ranking.counts(weight * self.amounts)[0])[-1] > 0:
            alerts = np.append(0.0, fraud + genuine)
            shares = np.interp(np.asarray(ALERT_RATES) * alerts[-1], alerts, np.append(0.0, valued))
            for rate, share in zip(ALERT_RATES, shares / valued[-1], strict=True):
                found[f"amount_recall@{rate:.1%}"] = float(share)
        for name, threshold in self.thresholds.items():
            at = decision_figures(self.scores, self.labels, threshold, weight)
            found |= {f"{figure}@{name}": value for figure, value in at.items()}
        if self.chances is not None:
            found["brier"] = float(weight @ (self.chances - self.labels) ** 2 / weight.sum())
            found["mean_probability"] = float(weight @ self.chances / weight.sum())
        return found


def _resampled_ece(period: Period, n_resamples: int, generator: np.random.Generator) -> Interval:
    assert period.chances is not None
    bins = reliability_bins(period.chances, period.labels, weight=period.weights)
    return resampled_ece(bins, n_resamples, generator)


def resampled_ece(bins: dict[str, FloatArray], n_resamples: int, generator: np.random.Generator) -> Interval:
    """The calibration error of `reliability_bins`, with its interval."""
    weight, count = bins["count"], bins["effective"]
    frauds = bins["observed"] * count
    samples = []
    for _ in range(n_resamples):
        # Jeffreys' posterior of each bin's share. Resampled orders of a bin without fraud would be without
        # fraud every time, and the interval would claim that its share is known to be 0.
        observed = generator.beta(frauds + 0.5, count - frauds + 0.5)
        samples.append(float(np.abs(observed - bins["predicted"]) @ weight / weight.sum()))
    value = float(np.abs(bins["observed"] - bins["predicted"]) @ weight / weight.sum())
    return _interval(value, [samples])


def _interval(value: float, cases: list[list[float]]) -> Interval:
    """The value, and the bounds of the interval that holds those of every case."""
    bounds = [np.quantile(samples, TAILS) for samples in cases if samples]
    low = min((float(one[0]) for one in bounds), default=value)
    high = max((float(one[1]) for one in bounds), default=value)
    return Interval(value, low, high)
