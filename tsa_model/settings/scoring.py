"""The choices of the scoring stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tsa_model.settings.base import Settings


class ScoringConfig(Settings):
    """How scores become probabilities, and where alerts are counted."""

    calibration: Literal["spline", "isotonic", "platt", "prior"] = "spline"
    """`spline` is the legacy's. `isotonic` and `platt` are fitted on the calibration period too; `prior`
    needs no labels and undoes the downsampling of the training orders."""
    alert_rate: float = Field(default=0.01, gt=0, lt=1)
    """Share of the calibration period's orders above the alert threshold of the report."""
