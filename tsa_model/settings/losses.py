"""The losses a run description can name, and the parameters each takes (TSA spec, sections 10 and 11).

`tsa_model/losses` computes them; a test holds this table against their signatures.
"""

from __future__ import annotations

LOSS_PARAMETERS: dict[str, tuple[str, ...]] = {
    "CrossEntropyLoss": ("weight", "ignore_index", "reduction", "label_smoothing"),
    "BCEWithLogitsLoss": ("weight", "reduction", "pos_weight"),
    "FocalLoss": ("alpha", "gamma", "reduction"),
    "BinaryFocalLossWithLogits": ("alpha", "gamma", "reduction"),
    "AsymmetricLoss": ("gamma_neg", "gamma_pos", "clip", "eps", "disable_torch_grad_focal_loss"),
    "AsymmetricLossOptimized": ("gamma_neg", "gamma_pos", "clip", "eps", "disable_torch_grad_focal_loss"),
    "ASLSingleLabel": ("gamma_pos", "gamma_neg", "eps", "reduction"),
    "CyclicalFocalLoss": ("gamma_pos", "gamma_neg", "gamma_hc", "eps", "reduction", "epochs", "factor"),
    "ASLFocalLoss": ("gamma", "eps", "reduction"),
    "FocalCrossEntropyLoss": ("alpha", "gamma", "reduction"),
    "SteppedCyclicalFocalLoss": ("alpha", "gamma_min", "gamma_max", "cycle_length", "reduction"),
}
