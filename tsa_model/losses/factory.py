"""Losses by name, and how a classifier's labels reach them."""

from __future__ import annotations

import inspect

from torch import Tensor, nn
from torch.nn import functional

from tsa_model.losses.document import FocalCrossEntropyLoss, SteppedCyclicalFocalLoss
from tsa_model.losses.functional import at_least_float32
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

LOSSES: dict[str, type[nn.Module]] = {
    loss.__name__: loss
    for loss in (
        CrossEntropyLoss,
        BCEWithLogitsLoss,
        FocalLoss,
        BinaryFocalLossWithLogits,
        AsymmetricLoss,
        AsymmetricLossOptimized,
        ASLSingleLabel,
        CyclicalFocalLoss,
        ASLFocalLoss,
        FocalCrossEntropyLoss,
        SteppedCyclicalFocalLoss,
    )
}
"""Loss name → class: the nine of TSA spec, section 10, and the two other forms of section 11."""


def create_loss_function(loss_type: str, **parameters: object) -> nn.Module:
    """Make a loss from its name and parameters.

    Args:
        loss_type: a name in `LOSSES`.
        parameters: arguments of that loss; the others keep their defaults.

    Returns:
        The loss, called with (logits, target); `CyclicalFocalLoss` also takes the epoch.

    Raises:
        ValueError: an unknown loss, a parameter the loss does not have, or a value it refuses.
    """
    if loss_type not in LOSSES:
        raise ValueError(f"loss {loss_type!r} is unknown; the losses are {list(LOSSES)}")
    allowed = list(inspect.signature(LOSSES[loss_type]).parameters)
    if unknown := [name for name in parameters if name not in allowed]:
        raise ValueError(f"{loss_type} has no parameter {unknown}; its parameters are {allowed}")
    return LOSSES[loss_type](**parameters)


def prepare_target(loss: nn.Module, logits_BC: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Turn a classifier's logits and labels into the arguments of a loss.

    A `class_index` loss takes them as they are. A `multi_label` loss judges yes-no decisions. Two classes
    are one decision: its logit is x_1 - x_0, whose sigmoid is the score softmax(x)_1, so that gamma_pos,
    alpha and pos_weight speak of class 1 and the loss trains the score itself. More classes are one decision
    each, class against the rest.

    Args:
        loss: one of `LOSSES`.
        logits_BC: float [B, C], C ≥ 2.
        label_B: int64 [B], class of each row.

    Returns:
        logits in at least float32, and target. For a `class_index` loss [B, C] and int64 [B]; for a
        `multi_label` loss of two classes [B, 1] and float [B, 1], of more classes [B, C] and float [B, C].
    """
    logits_BC = at_least_float32(logits_BC)
    if loss.target_kind == "class_index":
        return logits_BC, label_B
    n_classes = logits_BC.shape[-1]
    if n_classes == 2:
        return logits_BC[:, 1:] - logits_BC[:, :1], label_B[:, None].to(logits_BC.dtype)
    return logits_BC, functional.one_hot(label_B, n_classes).to(logits_BC.dtype)


def compute_loss(loss: nn.Module, logits_BC: Tensor, label_B: Tensor, epoch: int = 0) -> Tensor:
    """Loss of a classifier's output, for any loss of `LOSSES`.

    Args:
        loss: the loss.
        logits_BC: float [B, C], C ≥ 2.
        label_B: int64 [B], class of each row.
        epoch: 0, 1, ...; read by `CyclicalFocalLoss` only.

    Returns:
        The loss: a scalar unless its reduction is none.
    """
    logits, target = prepare_target(loss, logits_BC, label_B)
    if isinstance(loss, CyclicalFocalLoss):
        return loss(logits, target, epoch)
    return loss(logits, target)
