"""The choices of the scoring stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from tsa_model.settings.base import Settings


class ScoringConfig(Settings):
    """How scores become probabilities, and where alerts are counted."""

    calibration: Literal["spline", "isotonic", "platt", "prior", "legacy"] = "spline"
    """`spline` is the legacy's curve, held inside bounds that the counts of the calibration period justify;
    `legacy` is the same curve without bounds, which may give exactly 0 and 1. `isotonic` and `platt` are
    fitted on the calibration period too; `prior` needs no labels and undoes the downsampling of the training
    orders. All but `legacy` stay strictly between 0 and 1."""
    alert_rate: float = Field(default=0.01, gt=0, lt=1)
    """Share of the calibration period's orders above the alert threshold of the report."""
    recomputed_orders: PositiveInt | None = None
    """Orders that the score contract rebuilds from the events and computes with the reference; None = 240,
    and 60 for a large network."""
    shards: PositiveInt = 1
    """Stretches of the orders that are scored by a process each, as many at once as there are processors; the
    files are those of one process to the byte. For very many orders: one process gathers no faster than one
    processor does, and a process that dies costs its stretch alone."""
