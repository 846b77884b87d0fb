"""Orders that were stopped have no label: the others stand for them, weighted by the inverse of their chance.

An order that passes with probability 1 - p stands for 1 / (1 - p) orders like it. The weighted figures are
those of all orders where three things hold: p is the probability that was in force when the decision was
made; at a given p, nothing that decides about fraud also decides about stopping; and p is below 1 for every
kind of order. A policy that stops everything above a threshold breaks the last: no weight brings back what
was never let through.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsa_model.settings.stopping import Stopping


def passing_weights(probability: NDArray[np.float64], stopping: Stopping) -> NDArray[np.float64]:
    """How many orders each order that passed stands for.

    Args:
        probability: [N] with which each order would have been stopped; NaN = it could not have been.
        stopping: the column's name and the largest weight.

    Raises:
        ValueError: a probability is not in [0, 1].
    """
    known = np.where(np.isnan(probability), 0.0, probability)
    bad = np.flatnonzero((known < 0) | (known > 1))
    if bad.size:
        raise ValueError(f"column {stopping.probability}: {known[bad[0]]:g} is no probability in [0, 1]")
    return 1.0 / np.maximum(1.0 - known, 1.0 / stopping.most_weight)


def repetitions(weight: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each row is taken so that its expected number is its weight, and never off by one or more.

    Systematic sampling: a comb with teeth one apart, shifted by chance, is laid over the sum of the weights.

    Args:
        weight: [N] ≥ 0.
        generator: of the shift.
    """
    ends = np.floor(np.cumsum(weight) + generator.random())
    return np.diff(ends, prepend=0.0).astype(np.int64)
