"""Validation metrics over all rows at once, in float64; scikit-learn is the authority."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def classification_metrics(labels: Array, probabilities: Array, choices: Iterable[str]) -> dict[str, float]:
    """Metrics of predicted class probabilities.

    With two classes class 1 is the positive one; with more, every metric but accuracy is the plain mean of
    the one-against-the-rest values of the classes that occur. `precision`, `recall` and `f1` call the class
    with the highest probability.

    Args:
        labels: class numbers, int [N].
        probabilities: rows that sum to 1, float [N, C].
        choices: names among auroc, pr_auc, accuracy, precision, recall, f1.

    Returns:
        name → value. `auroc` is NaN where it is not defined: when all labels are equal.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    classes = [1] if n_classes == 2 else [c for c in range(n_classes) if np.any(labels == c)]
    values = {}
    for name in choices:
        if name == "accuracy":
            values[name] = float(np.mean(predicted == labels))
            continue
        metric = _one_against_rest(name)
        values[name] = float(
            np.mean(
                [metric(labels == c, probabilities[:, c].astype(np.float64), predicted == c) for c in classes]
            )
        )
    return values


def _one_against_rest(name: str) -> Callable[[Array, Array, Array], float]:
    """The metric as a function of (is the class, its probability, is called the class)."""
    from sklearn import metrics

    def auroc(truth: Array, score: Array) -> float:
        return metrics.roc_auc_score(truth, score) if truth.any() and not truth.all() else float("nan")

    def pr_auc(truth: Array, score: Array) -> float:
        return metrics.average_precision_score(truth, score) if truth.any() else 0.0

    functions: dict[str, Callable[[Array, Array, Array], float]] = {
        "auroc": lambda truth, score, call: auroc(truth, score),
        "pr_auc": lambda truth, score, call: pr_auc(truth, score),
        "precision": lambda truth, score, call: metrics.precision_score(truth, call, zero_division=0.0),
        "recall": lambda truth, score, call: metrics.recall_score(truth, call, zero_division=0.0),
        "f1": lambda truth, score, call: metrics.f1_score(truth, call, zero_division=0.0),
    }
    if name not in functions:
        raise ValueError(f"{name!r} is not a metric; choose among accuracy, {', '.join(functions)}")
    return functions[name]
