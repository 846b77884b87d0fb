"""How far calibrated probabilities are off from one block of time to the next, where labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

USUAL_SPREAD = (0.15, 0.08)
"""Standard deviation of shift and stretch between blocks that is assumed before any was seen."""
USUAL_BLOCKS = 4
"""Blocks that this assumption is worth."""
RIDGE = (1.0, 4.0)
"""Precision of the prior that keeps shift and stretch of a block with few frauds finite."""
ROUNDS = 25
"""Newton steps at most; the likelihood is concave, and six are usual."""
LEAST_STRETCH = -0.8
"""Below -1 the probabilities would rank the other way round."""


@dataclass(frozen=True)
class Correction:
    """What fits the probabilities of a block to its labels: log-odds' = centre + shift + (1 + stretch) x.

    x is the log-odds less the centre; around the centre, shift and stretch are nearly independent.
    """

    values: FloatArray
    """[2] shift and stretch; 0 and 0 where the probabilities are right."""
    covariance: FloatArray
    """[2, 2] of their estimate."""


@dataclass(frozen=True)
class Odds:
    """Log-odds of calibrated probabilities, seen from the place where frauds lie."""

    centre: float
    """Mean log-odds of a fraud."""

    @classmethod
    def of(cls, probability: FloatArray) -> Odds:
        """Take the centre from orders, each counted by its probability.

        Args:
            probability: [N] calibrated, at least one.
        """
        odds = _log_odds(probability)
        return cls(float(odds @ probability / max(float(probability.sum()), 1e-12)))

    def __call__(self, probability: FloatArray) -> FloatArray:
        """[N] log-odds less the centre."""
        return _log_odds(probability) - self.centre

    def corrected(self, x: NDArray[np.float32], values: FloatArray) -> NDArray[np.float32]:
        """[N] probabilities of log-odds x after a correction [2]."""
        shift, stretch = np.float32(self.centre + values[0]), np.float32(1.0 + values[1])
        return 1.0 / (1.0 + np.exp(-(shift + stretch * x)))

    def fit(self, probability: FloatArray, label: NDArray[np.integer]) -> Correction:
        """The correction that fits labelled orders, by maximum likelihood and a weak prior at no correction.

        Args:
            probability: [N] calibrated.
            label: [N] 0 or 1.
        """
        x, values, prior = self(probability), np.zeros(2), np.diag(RIDGE)
        fraud = label == 1
        target = np.array([float(fraud.sum()), x[fraud].sum()])
        curvature = prior
        for _ in range(ROUNDS):
            chance = 1.0 / (1.0 + np.exp(-(self.centre + values[0] + (1.0 + values[1]) * x)))
            spread = chance * (1.0 - chance)
            slope = target - np.array([chance.sum(), chance @ x]) - prior @ values
            leaning = spread * x
            curvature = np.array([[spread.sum(), leaning.sum()], [leaning.sum(), leaning @ x]]) + prior
            step = np.linalg.solve(curvature, slope).clip(-1.0, 1.0)
            values = values + step
            if np.abs(step).max() < 1e-6:
                break
        return Correction(values, np.linalg.inv(curvature))


@dataclass(frozen=True)
class Expectation:
    """How the correction of the next block is distributed, as far as earlier blocks tell."""

    mean: FloatArray
    """[2] of shift and stretch."""
    doubt: FloatArray
    """[2] variance of this mean."""
    spread: FloatArray
    """[2] variance between blocks."""
    freedom: float
    """How many blocks this variance is worth; few make wide tails."""

    @classmethod
    def of(cls, blocks: Sequence[Correction]) -> Expectation:
        """Combine the corrections of labelled blocks, by expectation and maximisation over their true values.

        Args:
            blocks: of the same length in time as the one to be estimated; none = the usual spread alone.
        """
        usual = np.square(USUAL_SPREAD)
        if not blocks:
            return cls(np.zeros(2), usual, usual, float(USUAL_BLOCKS))
        values = np.array([block.values for block in blocks])
        own = np.array([np.diag(block.covariance) for block in blocks])
        freedom = float(USUAL_BLOCKS + len(blocks) - 1)
        spread = usual
        for _ in range(50):
            weight = 1.0 / (own + spread)
            mean = (weight * values).sum(axis=0) / weight.sum(axis=0)
            told = spread * own * weight + np.square(spread * weight * (values - mean))
            spread = (USUAL_BLOCKS * usual + told.sum(axis=0)) / (USUAL_BLOCKS + len(blocks))
        return cls(mean, 1.0 / weight.sum(axis=0), spread, freedom)

    def draw(self, size: int, generator: np.random.Generator) -> FloatArray:
        """[size, 2] corrections that the next block may have."""
        variance = self.spread * self.freedom / generator.chisquare(self.freedom, (size, 1))
        drawn = self.mean + np.sqrt(self.doubt + variance) * generator.standard_normal((size, 2))
        drawn[:, 1] = drawn[:, 1].clip(LEAST_STRETCH)
        return drawn


def _log_odds(probability: FloatArray) -> FloatArray:
    clipped = np.asarray(probability, np.float64).clip(1e-9, 1.0 - 1e-9)
    return np.log(clipped) - np.log1p(-clipped)
