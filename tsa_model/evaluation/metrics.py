"""Figures of ranked scores, of decisions and of probabilities; `intervals` says how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ALERT_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
CALIBRATION_BINS = 20


def missing_class(rows: int, frauds: int) -> str:
    """Which class some labels lack, as the beginning of "no fraud among the 157 labels"; empty if none.

    Args:
        rows: labels in all.
        frauds: those that are 1.
    """
    lacking = "fraud" if not frauds else "genuine order" if frauds == rows else ""
    return lacking and f"no {lacking} among the {rows:,}"


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
        self.last_of_tie = np.append(
            np.flatnonzero(self.sorted_scores[1:] < self.sorted_scores[:-1]), scores.size - 1
        )

    @property
    def n_frauds(self) -> int:
        """Orders with label 1."""
        return int(self.is_fraud.sum())

    @property
    def n_genuine(self) -> int:
        """Orders with label 0."""
        return self.is_fraud.size - self.n_frauds

    def counts(self, weight: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Weight of frauds and of genuine orders at or above each distinct score, both [..., n distinct].

        Args:
            weight: [..., N] in the order the scores came in; None = 1 each.
        """
        weights = np.ones(self.order.size) if weight is None else weight[..., self.order]
        fraud = np.cumsum(np.where(self.is_fraud, weights, 0.0), axis=-1)[..., self.last_of_tie]
        genuine = np.cumsum(np.where(self.is_fraud, 0.0, weights), axis=-1)[..., self.last_of_tie]
        return fraud, genuine


def auc(fraud: FloatArray, genuine: FloatArray) -> FloatArray:
    """Area under the ROC curve [...] from `Ranking.counts`."""
    steps = np.diff(genuine, axis=-1, prepend=0.0)
    # A genuine order at a score is beaten by the frauds above it, and by half of those at the same score.
    area = (steps * (fraud - 0.5 * np.diff(fraud, axis=-1, prepend=0.0))).sum(axis=-1)
    return np.minimum(area / (fraud[..., -1] * genuine[..., -1]), 1.0)  # rounding may exceed 1


def average_precision(fraud: FloatArray, genuine: FloatArray) -> FloatArray:
    """Mean precision over the frauds [...], from `Ranking.counts`."""
    alerts = fraud + genuine
    precision = np.divide(fraud, alerts, out=np.zeros_like(fraud), where=alerts > 0)
    return (np.diff(fraud, axis=-1, prepend=0.0) * precision).sum(axis=-1) / fraud[..., -1]


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
    probability: ArrayLike,
    label: ArrayLike,
    n_bins: int = CALIBRATION_BINS,
    weight: ArrayLike | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Mean probability, share of fraud and count in bins of equally many orders (ties stay together).

    Args:
        probability: [N].
        label: [N] 0 or 1.
        n_bins: bins at most.
        weight: [N] how many orders each one stands for; None = 1 each.

    Returns:
        `predicted`, `observed`, `count` (sum of the weights) and `effective` (as how many equally heavy
        orders the bin counts), each [bins].
    """
    probabilities, labels = np.asarray(probability, np.float64), np.asarray(label, np.float64)
    weights = np.ones(probabilities.size) if weight is None else np.asarray(weight, np.float64)
    # A tie that fills whole bins is a bin by itself, at the lowest probability, too.
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, n_bins + 1))[1:-1])
    place = np.searchsorted(edges, probabilities, side="left")

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(place, values, minlength=edges.size + 1).astype(np.float64)

    count = total(weights)
    kept = count > 0
    return {
        "predicted": total(probabilities * weights)[kept] / count[kept],
        "observed": total(labels * weights)[kept] / count[kept],
        "count": count[kept],
        "effective": count[kept] ** 2 / total(weights**2)[kept],
    }


def calibration_error(probability: ArrayLike, label: ArrayLike) -> float:
    """Expected calibration error: mean |share of fraud − mean probability| over equally full bins.

    A bin without fraud counts as a share of 0, although its n orders allow any share up to about 3/n: an
    error smaller than that is not seen. `probability_figures` says how many orders lie in such bins.
    """
    bins = reliability_bins(probability, label)
    gap = np.abs(bins["observed"] - bins["predicted"])
    return float(gap @ bins["count"] / bins["count"].sum())
