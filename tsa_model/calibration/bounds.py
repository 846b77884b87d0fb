"""Bounds of a calibrated probability: how near to 0 and 1 the counts of a period allow it to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tsa_model.calibration.counts import CONFIDENCE, share_at_least, share_at_most
from tsa_model.settings.base import Settings

FloatArray = NDArray[np.float64]

LARGEST = 1.0 - 2.0**-24
"""The largest float32 below 1: a probability stays below 1 where it is stored in half the bytes, too."""


class Bounds(Settings):
    """The smallest and the largest probability a calibrator gives, and the counts they come from.

    Below the lowest-scored fraud the n orders of the calibration period say one thing about fraud: it is
    rarer than 1 − α^(1/n), the upper bound of Clopper and Pearson (Biometrika 26, 1934) for no fraud among
    n, about 3/n at 95 %. A fitted curve falls to any smaller value there, because no order contradicts it.
    Above the highest-scored genuine order the same holds for the distance to 1.
    """

    low: float = Field(gt=0, lt=1)
    """No probability is smaller."""
    high: float = Field(gt=0, lt=1)
    """No probability is larger."""
    confidence: float = Field(default=CONFIDENCE, gt=0, lt=1)
    """Of the one-sided intervals."""
    orders: int = Field(ge=1)
    """Orders that were counted."""
    orders_below: int | None = Field(default=None, ge=0)
    """Orders scored below every fraud; null where labels were not counted."""
    orders_above: int | None = Field(default=None, ge=0)
    """Frauds scored above every genuine order; null where labels were not counted."""
    lowest_fraud: float | None = None
    """Score of the lowest-scored fraud; null where labels were not counted."""
    highest_genuine: float | None = None
    """Score of the highest-scored genuine order; null where labels were not counted."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low={self.low} lies above high={self.high}")
        return self

    @classmethod
    def of_orders(cls, orders: int) -> Self:
        """Bounds for a curve that was made without labels.

        Returns:
            The one-sided lower bound on the share of fraud if one of the orders were fraud (about 0.05/n),
            and its mirror: rarer frauds (genuine orders) would not be seen among so many.
        """
        low = float(share_at_least(1, max(orders, 2)))
        return cls(low=low, high=min(1.0 - low, LARGEST), orders=orders)

    @classmethod
    def of_labels(
        cls, score: FloatArray, label: FloatArray, curve: Callable[[FloatArray], FloatArray]
    ) -> Self:
        """Bounds that leave the curve alone from the lowest-scored fraud to the highest-scored genuine order.

        There each order that contradicts the curve was counted in its fit. Below, the probability stays at
        the upper bound for no fraud among n, or at the curve's value for the lowest-scored fraud where that
        is smaller: a lower score cannot mean more. Where even this value is smaller than `of_orders` allows
        (a parametric curve may pass far from a fraud), it gives way. Above, the mirror.

        Args:
            score: [N] as the fit saw them.
            label: [N] 0 or 1, both present.
            curve: score → probability, non-decreasing.
        """
        fraud = label == 1.0
        lowest, highest = float(score[fraud].min()), float(score[~fraud].max())
        below, above = int((score < lowest).sum()), int((score > highest).sum())
        least = cls.of_orders(score.size)
        at_fraud, at_genuine = curve(np.array([lowest, highest])).clip(least.low, least.high).tolist()
        high = min(LARGEST, max(float(share_at_least(above, above)), at_genuine))
        return cls(
            low=min(float(share_at_most(0, below)), at_fraud, high),
            high=high,
            orders=score.size,
            orders_below=below,
            orders_above=above,
            lowest_fraud=lowest,
            highest_genuine=highest,
        )
