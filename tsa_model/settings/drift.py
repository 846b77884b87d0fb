"""How far a later period may differ from the training period."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from tsa_model.settings.base import Settings


class Drift(Settings):
    """How far a later period may differ from the training period; a stop level of None never stops."""

    psi_warn: PositiveFloat = 0.1
    """Population stability index of a feature; three times its noise for few orders is always allowed."""
    psi_stop: PositiveFloat | None = None
    unknown_warn: PositiveFloat = 0.05
    """Share of orders whose category is missing from the training vocabulary."""
    unknown_stop: PositiveFloat | None = 0.5
    history_warn: PositiveFloat = 0.5
    """Mean history length over that of the training period; lower is worse."""
    history_stop: PositiveFloat | None = 0.1
    label_warn: float = Field(default=2.0, gt=1)
    """Fraud rate among known labels over that of the training period, or the inverse, beyond chance."""
    label_stop: float | None = Field(default=None, gt=1)
