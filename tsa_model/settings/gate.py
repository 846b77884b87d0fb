"""Choices of a run about the gate. The bounds of the numerical checks are not among them."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from tsa_model.settings.base import Settings


class GateConfig(Settings):
    """Choices of the equivalence gate."""

    real_rows: PositiveInt | None = None
    """Real orders both networks compute, of every kind that occurs; None = by the network's size."""
    baselines: tuple[str, ...] = ()
    """Folders with captured outputs of a legacy model, compared besides the default baseline."""
    decision_rows: PositiveInt | None = None
    """Real orders on which legacy and deterministic evaluation are compared; None = by the network's size."""
    alert_rates: tuple[float, ...] = Field(default=(0.001, 0.01, 0.05), min_length=1)
    """Shares of orders that would raise an alert: the thresholds at which decisions are compared."""
    max_auc_drop: float = Field(default=0.005, ge=0)
    """Largest AUC that deterministic evaluation may lose against the legacy's, beyond chance."""
    max_ap_drop: float = Field(default=0.02, ge=0)
    """The same for average precision."""
