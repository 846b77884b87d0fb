"""The training losses: `functional` computes, `modules` holds parameters, `factory` makes them by name."""

from tsa_model.losses.document import FocalCrossEntropyLoss, SteppedCyclicalFocalLoss, focal_cross_entropy
from tsa_model.losses.factory import LOSSES, compute_loss, create_loss_function, prepare_target
from tsa_model.losses.functional import binary_focal_loss_with_logits, focal_loss
from tsa_model.losses.modules import (
    ASLFocalLoss,
    ASLSingleLabel,
    AsymmetricLoss,
    AsymmetricLossOptimized,
    BCEWithLogitsLoss,
    BinaryFocalLossWithLogits,
    CrossEntropyLoss,
    CyclicalFocalLoss,
    FocalLoss,
)

__all__ = [
    "LOSSES",
    "ASLFocalLoss",
    "ASLSingleLabel",
    "AsymmetricLoss",
    "AsymmetricLossOptimized",
    "BCEWithLogitsLoss",
    "BinaryFocalLossWithLogits",
    "CrossEntropyLoss",
    "CyclicalFocalLoss",
    "FocalCrossEntropyLoss",
    "FocalLoss",
    "SteppedCyclicalFocalLoss",
    "binary_focal_loss_with_logits",
    "compute_loss",
    "create_loss_function",
    "focal_cross_entropy",
    "focal_loss",
    "prepare_target",
]
