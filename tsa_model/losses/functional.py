"""The losses as functions of logits and targets (TSA spec, section 10).

Shape letters: B rows, C classes. Class targets are int64 [B]; multi-label and binary targets are floats in
[0, 1] of the logits' shape. Half-precision logits are computed in float32.

A focal weight (1 - p)^gamma is taken as exp(gamma·log(1 - p)) with log(1 - p) from the logits: 1 - p itself
rounds to 0 at large logits, where the power's gradient is NaN for gamma below 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ONE_HOT_SMOOTHING = 1e-6
"""The focal loss adds this to every entry of the one-hot target (TSA spec, section 10.3)."""


def focal_loss(
    logits_BC: Tensor, target_B: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Focal loss over softmax classes; `alpha` scales every class alike.

    Args:
        logits_BC: float [B, C], C ≥ 2.
        target_B: int64 [B], class of each row.
        alpha: scale of the loss.
        gamma: focusing exponent, ≥ 0; 0 weighs easy and hard rows alike.
        reduction: none | mean | sum over the rows.

    Returns:
        [B] for `none`, otherwise a scalar.
    """
    logits_BC = at_least_float32(logits_BC)
    log_p_BC, log_not_p_BC = log_probabilities(logits_BC)
    target_BC = one_hot(logits_BC, target_B).to(logits_BC.dtype) + ONE_HOT_SMOOTHING
    loss_B = -alpha * (target_BC * torch.exp(gamma * log_not_p_BC) * log_p_BC).sum(dim=-1)
    return reduce(loss_B, reduction)


def binary_focal_loss_with_logits(
    logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Focal loss of independent yes-no decisions.

    Args:
        logits: float, any shape.
        target: float in [0, 1], the same shape.
        alpha: weight of the positive targets, in [0, 1]; negative ones weigh 1 - alpha.
        gamma: focusing exponent, ≥ 0.
        reduction: none | mean | sum over all elements.

    Returns:
        The logits' shape for `none`, otherwise a scalar.
    """
    logits = at_least_float32(logits)
    check_same_shape(logits, target)
    log_p, log_not_p = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive = alpha * torch.exp(gamma * log_not_p) * target * log_p
    negative = (1 - alpha) * torch.exp(gamma * log_p) * (1 - target) * log_not_p
    return reduce(-positive - negative, reduction)


def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
    constant_weight: bool = True,
) -> Tensor:
    """Multi-label loss that focuses negatives harder than positives and forgives the easiest negatives.

    Args:
        logits: float, any shape.
        target: float in [0, 1], the same shape.
        gamma_neg: focusing exponent of negative targets, ≥ 0.
        gamma_pos: focusing exponent of positive targets, ≥ 0.
        clip: probability by which negatives are shifted towards certainty, ≥ 0.
        eps: smallest probability a logarithm is taken of, > 0.
        constant_weight: hold the focal weight constant in the gradient.

    Returns:
        The sum over all elements, a scalar.
    """
    logits = at_least_float32(logits)
    check_same_shape(logits, target)
    p_pos = torch.sigmoid(logits)
    p_neg = (1 - p_pos + clip).clamp(max=1)
    log_likelihood = target * torch.log(p_pos.clamp(min=eps)) + (1 - target) * torch.log(p_neg.clamp(min=eps))
    p_target = p_pos * target + p_neg * (1 - target)
    gamma = gamma_pos * target + gamma_neg * (1 - target)
    # A clipped negative has p_target exactly 1, where a power below 1 has an infinite slope. The clamp stops
    # the gradient there.
    weight = (1 - p_target).clamp(min=torch.finfo(logits.dtype).tiny) ** gamma
    if constant_weight:
        weight = weight.detach()
    return -(log_likelihood * weight).sum()


def asymmetric_single_label_loss(
    logits_BC: Tensor,
    target_B: Tensor,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    eps: float = 0.1,
    reduction: str = "mean",
    eta: float = 0.0,
    gamma_hc: float = 0.0,
) -> Tensor:
    """Smoothed cross entropy whose classes are weighed by how wrong they are.

    Class weights are (1 - p)^gamma_pos for the target class and p^gamma_neg for the others, blended by `eta`
    with (1 + p)^gamma_hc for the target class and 1 for the others, which favours confident rows.

    Args:
        logits_BC: float [B, C], C ≥ 2.
        target_B: int64 [B], class of each row.
        gamma_pos: focusing exponent of the target class, ≥ 0.
        gamma_neg: focusing exponent of the other classes, ≥ 0.
        eps: label smoothing in [0, 1).
        reduction: `mean` over the rows; anything else sums.
        eta: share of the weight that favours confident rows.
        gamma_hc: its exponent.

    Returns:
        A scalar.
    """
    logits_BC = at_least_float32(logits_BC)
    log_p_BC, log_not_p_BC = log_probabilities(logits_BC)
    is_target_BC = one_hot(logits_BC, target_B)
    weight_BC = torch.exp(torch.where(is_target_BC, gamma_pos * log_not_p_BC, gamma_neg * log_p_BC))
    if eta:
        confident_BC = torch.where(is_target_BC, (1 + log_p_BC.exp()) ** gamma_hc, 1.0)
        weight_BC = (1 - eta) * weight_BC + eta * confident_BC
    smooth_BC = is_target_BC.to(log_p_BC.dtype) * (1 - eps) + eps / logits_BC.shape[-1]
    loss_B = -(smooth_BC * weight_BC * log_p_BC).sum(dim=-1)
    return reduce(loss_B, "mean" if reduction == "mean" else "sum")


def log_probabilities(logits_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of p and 1 - p of every class under softmax, both finite for finite logits.

    Args:
        logits_BC: float [B, C].

    Returns:
        Two tensors [B, C].

    Raises:
        ValueError: fewer than two classes.
    """
    n_classes = logits_BC.shape[-1]
    if n_classes < 2:
        raise ValueError(f"logits of shape {tuple(logits_BC.shape)}: softmax needs at least 2 classes")
    log_p_BC = functional.log_softmax(logits_BC, dim=-1)
    # 1 - p of a class is the probability of all the others; C is small, so C × C terms cost nothing.
    itself_CC = torch.eye(n_classes, dtype=torch.bool, device=logits_BC.device)
    log_not_p_BC = log_p_BC[:, None, :].masked_fill(itself_CC, float("-inf")).logsumexp(dim=-1)
    return log_p_BC, log_not_p_BC


def one_hot(logits_BC: Tensor, target_B: Tensor) -> Tensor:
    """Mark each row's class: bool [B, C].

    Raises:
        ValueError: logits are not [B, C] or targets are not [B].
    """
    check_class_targets(logits_BC, target_B)
    return functional.one_hot(target_B, logits_BC.shape[-1]).bool()


def check_class_targets(logits_BC: Tensor, target_B: Tensor) -> None:
    """Refuse anything but one class label per row.

    Raises:
        ValueError: logits are not [B, C] or targets are not [B].
    """
    if logits_BC.ndim != 2 or target_B.shape != logits_BC.shape[:1]:
        raise ValueError(
            f"logits {tuple(logits_BC.shape)} and class targets {tuple(target_B.shape)}: "
            "expected shapes [B, C] and [B]"
        )


def check_same_shape(logits: Tensor, target: Tensor) -> None:
    """Refuse targets that would be broadcast: [B] against [B, 1] silently gives B × B elements.

    Raises:
        ValueError: the shapes differ.
    """
    if logits.shape != target.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(target.shape)} must have one shape; "
            "prepare_target turns class labels into such targets"
        )


def at_least_float32(logits: Tensor) -> Tensor:
    """`logits`, or their float32 copy when they are half precision, where an eps of 1e-8 is 0."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """The loss per row or element reduced as PyTorch's losses do: none | mean | sum."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss
