"""Paired bootstrap: how sure the difference of two models on the same orders is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.evaluation.metrics import Interval, Ranking, auc, average_precision

FIGURES = {"auc": auc, "average_precision": average_precision}


def paired_differences(
    label: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Bootstrap the difference of each figure, both models on the same resampled orders.

    What makes a set of orders easy or hard does so for both models and cancels out, which is why the interval
    is much narrower than those of the two figures.

    Args:
        label: [N] 0 or 1, both present.
        challenger: [N] its scores.
        champion: [N] its scores of the same orders.
        confidence: share of the distribution inside the interval.
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        Figure → challenger − champion, with its interval.
    """
    rankings = Ranking(challenger, label), Ranking(champion, label)
    generator = np.random.default_rng(seed)
    n_rows = rankings[0].order.size
    samples: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(resamples):
        weight = generator.poisson(1.0, n_rows).astype(np.float64)
        counts = [ranking.counts(weight) for ranking in rankings]
        if counts[0][0][-1] and counts[0][1][-1]:  # a sample may have drawn one class only
            for name, values in samples.items():
                values.append(_difference(name, counts))
    whole = [ranking.counts() for ranking in rankings]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    result = {}
    for name, values in samples.items():
        if not values:
            raise ValueError(f"none of {resamples} bootstrap samples of {n_rows} orders has both classes")
        low, high = np.quantile(values, tails)
        result[name] = Interval(_difference(name, whole), float(low), float(high))
    return result


def _difference(name: str, counts: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    figure = FIGURES[name]
    return figure(*counts[0]) - figure(*counts[1])
