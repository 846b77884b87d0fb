"""What a count of positives says about the share behind it: exact binomial bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


def share_at_least(
    positives: ArrayLike, trials: ArrayLike, confidence: float = CONFIDENCE
) -> NDArray[np.float64]:
    """One-sided lower bound of Clopper and Pearson (1934) on the share of positives.

    Args:
        positives: counts, 0 to `trials`.
        trials: counts; 0 trials say nothing, and the bound is 0.
        confidence: how often such a bound holds, in (0, 1).

    Returns:
        In [0, 1); α^(1/n) with α = 1 − confidence when all n trials are positive.
    """
    return 1.0 - share_at_most(np.asarray(trials) - np.asarray(positives), trials, confidence)


def share_at_most(
    positives: ArrayLike, trials: ArrayLike, confidence: float = CONFIDENCE
) -> NDArray[np.float64]:
    """One-sided upper bound of Clopper and Pearson (1934) on the share of positives.

    Args:
        positives: counts, 0 to `trials`.
        trials: counts; 0 trials say nothing, and the bound is 1.
        confidence: how often such a bound holds, in (0, 1).

    Returns:
        In (0, 1]; 1 − α^(1/n), about 3/n at 95 %, when none of n trials is positive.
    """
    from scipy.special import betaincinv

    k, n = np.asarray(positives, np.float64), np.asarray(trials, np.float64)
    open_end = k >= n
    bound = betaincinv(k + 1.0, np.where(open_end, 1.0, n - k), confidence)
    return np.where(open_end, 1.0, bound)
