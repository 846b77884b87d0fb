"""Figures of a scored period, each with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ALERT_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
CALIBRATION_BINS = 20
RESAMPLES, MIN_RESAMPLES = 200, 50
RESAMPLED_ROWS = 20_000_000


@dataclass(frozen=True)
class Interval:
    """A figure and the middle 95 % of its bootstrap distribution."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Ranking:
    """Scores sorted once, highest first, so that every ranking figure is a cumulative sum.

    Args:
        score: [N] higher = more suspicious; ties count as one threshold.
        label: [N] 0 or 1.
    """

    def __init__(self, score: ArrayLike, label: ArrayLike) -> None:
        scores, labels = np.asarray(score, np.float64), np.asarray(label)
        if scores.shape != labels.shape or scores.ndim != 1:
            raise ValueError(f"score {scores.shape} and label {labels.shape} must be equally long vectors")
        if labels.min(initial=1) == labels.max(initial=0):
            raise ValueError(f"all {labels.size} labels are {labels[:1]}: ranking needs both classes")
        self.order = np.argsort(-scores, kind="stable")
        self.sorted_scores = scores[self.order]
        self.is_fraud = labels[self.order] == 1
        self.last_of_tie = np.append(np.flatnonzero(np.diff(self.sorted_scores)), scores.size - 1)

    def counts(self, weight: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Weight of frauds and of genuine orders at or above each distinct score, both [n distinct].

        Args:
            weight: [N] in the order the scores came in; None = 1 each.
        """
        weights = np.ones(self.order.size) if weight is None else weight[self.order]
        fraud = np.cumsum(np.where(self.is_fraud, weights, 0.0))[self.last_of_tie]
        genuine = np.cumsum(np.where(self.is_fraud, 0.0, weights))[self.last_of_tie]
        return fraud, genuine


def auc(fraud: FloatArray, genuine: FloatArray) -> float:
    """Area under the ROC curve from `Ranking.counts`."""
    area = np.trapezoid(np.append(0.0, fraud), np.append(0.0, genuine))
    return float(area / (fraud[-1] * genuine[-1]))


def average_precision(fraud: FloatArray, genuine: FloatArray) -> float:
    """Mean precision over the frauds, from `Ranking.counts`."""
    alerts = fraud + genuine
    precision = np.divide(fraud, alerts, out=np.zeros_like(fraud), where=alerts > 0)
    return float(np.diff(fraud, prepend=0.0) @ precision / fraud[-1])


def recall_at_rates(fraud: FloatArray, genuine: FloatArray, rates: Sequence[float]) -> FloatArray:
    """Share of fraud among the highest-scored share of orders; a tie is cut as chance would cut it."""
    alerts = np.append(0.0, fraud + genuine)
    return np.interp(np.asarray(rates) * alerts[-1], alerts, np.append(0.0, fraud)) / fraud[-1]


def roc_points(score: ArrayLike, label: ArrayLike, max_points: int = 200) -> dict[str, list[float]]:
    """At most `max_points` points of the ROC curve, all finite: false and true positive rate, threshold."""
    ranking = Ranking(score, label)
    fraud, genuine = ranking.counts()
    kept = np.unique(np.linspace(0, fraud.size - 1, min(fraud.size, max_points)).astype(np.intp))
    return {
        "false_positive_rate": (genuine[kept] / genuine[-1]).tolist(),
        "true_positive_rate": (fraud[kept] / fraud[-1]).tolist(),
        "threshold": ranking.sorted_scores[ranking.last_of_tie[kept]].tolist(),
    }


def threshold_for_rate(score: ArrayLike, rate: float) -> float:
    """The score at or above which a share of at most `rate` of these orders lies."""
    scores = np.sort(np.asarray(score, np.float64))
    n_alerts = int(rate * scores.size)
    return float(np.nextafter(scores[-1], np.inf) if n_alerts == 0 else _above(scores, n_alerts))


def _above(scores: FloatArray, n_alerts: int) -> float:
    threshold = scores[scores.size - n_alerts]
    if n_alerts < scores.size and scores[scores.size - n_alerts - 1] == threshold:
        return np.nextafter(threshold, np.inf)  # the tie would raise more alerts than allowed
    return threshold


def best_f1_threshold(score: ArrayLike, label: ArrayLike) -> float:
    """The score at or above which alerting gives the highest F1."""
    ranking = Ranking(score, label)
    fraud, genuine = ranking.counts()
    f1 = 2 * fraud / (fraud + genuine + fraud[-1])
    return float(ranking.sorted_scores[ranking.last_of_tie[np.argmax(f1)]])


def decision_figures(
    score: FloatArray, label: FloatArray, threshold: float, weight: FloatArray
) -> dict[str, float]:
    """Precision, recall, F1, specificity and accuracy of alerting at or above a threshold.

    A figure whose denominator is zero (precision without alerts) is left out.
    """
    alert, fraud = score >= threshold, label == 1
    tp, fp = float(weight[alert & fraud].sum()), float(weight[alert & ~fraud].sum())
    fn, tn = float(weight[~alert & fraud].sum()), float(weight[~alert & ~fraud].sum())
    shares = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "specificity": (tn, tn + fp),
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "alert_rate": (tp + fp, tp + fp + fn + tn),
    }
    return {name: part / whole for name, (part, whole) in shares.items() if whole > 0}


def reliability_bins(
    probability: ArrayLike, label: ArrayLike, n_bins: int = CALIBRATION_BINS
) -> dict[str, NDArray[np.float64]]:
    """Mean probability, share of fraud and count in bins of equally many orders (ties stay together)."""
    probabilities, labels = np.asarray(probability, np.float64), np.asarray(label, np.float64)
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, n_bins + 1)))
    place = np.searchsorted(edges[1:-1], probabilities, side="left")
    count = np.bincount(place, minlength=max(edges.size - 1, 1)).astype(np.float64)
    kept = count > 0
    predicted = np.bincount(place, probabilities, minlength=count.size)[kept] / count[kept]
    observed = np.bincount(place, labels, minlength=count.size)[kept] / count[kept]
    return {"predicted": predicted, "observed": observed, "count": count[kept]}


def calibration_error(probability: ArrayLike, label: ArrayLike) -> float:
    """Expected calibration error: mean |share of fraud − mean probability| over equally full bins."""
    bins = reliability_bins(probability, label)
    gap = np.abs(bins["observed"] - bins["predicted"])
    return float(gap @ bins["count"] / bins["count"].sum())


def evaluate(
    score: ArrayLike,
    label: ArrayLike,
    probability: ArrayLike | None = None,
    thresholds: dict[str, float] | None = None,
    amount: ArrayLike | None = None,
    n_resamples: int | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Every figure of a scored period with its bootstrap interval.

    Args:
        score: [N] raw scores.
        label: [N] 0 or 1, both present.
        probability: [N] calibrated; adds `brier`, `ece` and the mean.
        thresholds: name → score; adds `<figure>@<name>`.
        amount: [N] value of each order, ≥ 0; adds the share of fraudulent value found.
        n_resamples: bootstrap samples of the orders; None = 200, fewer for more than 100,000 orders.
        seed: of the resampling.

    Returns:
        Figure → value and interval.
    """
    scores, labels = np.asarray(score, np.float64), np.asarray(label, np.float64)
    ranking = Ranking(scores, labels)
    if n_resamples is None:
        n_resamples = max(MIN_RESAMPLES, min(RESAMPLES, RESAMPLED_ROWS // scores.size))
    chances = None if probability is None else np.asarray(probability, np.float64)
    amounts = None if amount is None else np.asarray(amount, np.float64)

    def figures(weight: FloatArray) -> dict[str, float]:
        fraud, genuine = ranking.counts(weight)
        if not fraud[-1] or not genuine[-1]:
            return {}
        found = {"auc": auc(fraud, genuine), "average_precision": average_precision(fraud, genuine)}
        for rate, recall in zip(ALERT_RATES, recall_at_rates(fraud, genuine, ALERT_RATES), strict=True):
            found[f"recall@{rate:.1%}"] = float(recall)
        if amounts is not None and (valued := ranking.counts(weight * amounts)[0])[-1] > 0:
            alerts = np.append(0.0, fraud + genuine)
            shares = np.interp(np.asarray(ALERT_RATES) * alerts[-1], alerts, np.append(0.0, valued))
            for rate, share in zip(ALERT_RATES, shares / valued[-1], strict=True):
                found[f"amount_recall@{rate:.1%}"] = float(share)
        for name, threshold in (thresholds or {}).items():
            at = decision_figures(scores, labels, threshold, weight)
            found |= {f"{figure}@{name}": value for figure, value in at.items()}
        if chances is not None:
            found["brier"] = float(weight @ (chances - labels) ** 2 / weight.sum())
            found["mean_probability"] = float(weight @ chances / weight.sum())
        return found

    values = figures(np.ones(scores.size))
    generator = np.random.default_rng(seed)
    samples = [figures(generator.poisson(1.0, scores.size).astype(np.float64)) for _ in range(n_resamples)]
    result = {
        name: _interval(value, [s[name] for s in samples if name in s]) for name, value in values.items()
    }
    if chances is not None:
        result["ece"] = _resampled_ece(chances, labels, n_resamples, generator)
    return result


def _resampled_ece(
    probability: FloatArray, label: FloatArray, n_resamples: int, generator: np.random.Generator
) -> Interval:
    bins = reliability_bins(probability, label)
    count = bins["count"].astype(np.int64)
    samples = []
    for _ in range(n_resamples):
        observed = generator.binomial(count, bins["observed"]) / count
        samples.append(float(np.abs(observed - bins["predicted"]) @ count / count.sum()))
    return _interval(calibration_error(probability, label), samples)


def _interval(value: float, samples: list[float]) -> Interval:
    if not samples:
        return Interval(value, value, value)
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(value, float(low), float(high))
