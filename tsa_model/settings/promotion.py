"""When a new model may take the place of the one in use."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from tsa_model.settings.base import Settings


class PromotionConfig(Settings):
    """How much worse a challenger may at most be, and how sure of it one has to be.

    The lower bound of the interval of (challenger − champion) must be at least minus the margin. With few
    frauds the interval is wide, and the champion stays.
    """

    auc_margin: NonNegativeFloat = 0.005
    """Area under the ROC curve that may be lost."""
    average_precision_margin: NonNegativeFloat = 0.01
    """Average precision that may be lost."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    """Share of the bootstrap distribution inside an interval."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap samples of the compared orders."""
    seed: NonNegativeInt = 0
