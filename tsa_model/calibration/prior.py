"""Prior correction: what a score means where fraud is rarer than in the downsampled training orders."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def correct_prior(score: ArrayLike, sampled_prior: float, prior: float) -> NDArray[np.float64]:
    """Carry probabilities from the share of fraud in training to the share in the population (Bayes' rule).

    Args:
        score: probabilities in [0, 1] of a model trained where a share `sampled_prior` was fraud.
        sampled_prior: share of fraud among the training orders, in (0, 1).
        prior: share of fraud among the orders the probabilities are for, in (0, 1).

    Returns:
        Probabilities of the same shape; the order of the scores is kept.

    Raises:
        ValueError: a share is not in (0, 1).
    """
    for name, value in (("sampled_prior", sampled_prior), ("prior", prior)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name}={value} is not in (0, 1)")
    scores = np.asarray(score, dtype=np.float64)
    fraud = scores * prior / sampled_prior
    genuine = (1.0 - scores) * (1.0 - prior) / (1.0 - sampled_prior)
    return fraud / (fraud + genuine)
