"""The nine losses as modules: parameters checked when built, computed in `functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tsa_model.losses.functional import (
    asymmetric_loss,
    asymmetric_single_label_loss,
    binary_focal_loss_with_logits,
    focal_loss,
)

TargetKind = Literal["class_index", "multi_label"]
"""`class_index`: logits [B, C], target int64 [B]. `multi_label`: target float of the logits' shape."""


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """PyTorch's cross entropy.

    Args:
        weight: weight of each class; C numbers.
        ignore_index: class label that contributes nothing.
        reduction: none | mean | sum.
        label_smoothing: in [0, 1].
    """

    target_kind: TargetKind = "class_index"

    def __init__(
        self,
        weight: Sequence[float] | Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            weight=_float_tensor(weight),
            ignore_index=ignore_index,
            reduction=check_reduction(reduction),
            label_smoothing=label_smoothing,
        )


class BCEWithLogitsLoss(nn.BCEWithLogitsLoss):
    """PyTorch's binary cross entropy of logits.

    Args:
        weight: weight of each element, broadcast against the logits.
        reduction: none | mean | sum.
        pos_weight: weight of positive targets, one number or one per label.
    """

    target_kind: TargetKind = "multi_label"

    def __init__(
        self,
        weight: Sequence[float] | Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Sequence[float] | float | Tensor | None = None,
    ) -> None:
        super().__init__(
            weight=_float_tensor(weight),
            reduction=check_reduction(reduction),
            pos_weight=_float_tensor(pos_weight),
        )


class FocalLoss(nn.Module):
    """Focal loss over softmax classes; arguments as in `functional.focal_loss`."""

    target_kind: TargetKind = "class_index"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        check_not_negative(alpha=alpha, gamma=gamma)
        self.alpha, self.gamma, self.reduction = alpha, gamma, check_reduction(reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] against class labels int64 [B]."""
        return focal_loss(logits, target, self.alpha, self.gamma, self.reduction)


class BinaryFocalLossWithLogits(nn.Module):
    """Focal loss of yes-no decisions; arguments as in `functional.binary_focal_loss_with_logits`."""

    target_kind: TargetKind = "multi_label"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        check_not_negative(alpha=alpha, gamma=gamma)
        self.alpha, self.gamma, self.reduction = alpha, gamma, check_reduction(reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits against float targets of their shape."""
        return binary_focal_loss_with_logits(logits, target, self.alpha, self.gamma, self.reduction)


class AsymmetricLoss(nn.Module):
    """Asymmetric multi-label loss, summed; arguments as in `functional.asymmetric_loss`.

    Args:
        gamma_neg: focusing exponent of negative targets, ≥ 0.
        gamma_pos: focusing exponent of positive targets, ≥ 0.
        clip: probability by which negatives are shifted towards certainty, ≥ 0.
        eps: smallest probability a logarithm is taken of, > 0.
        disable_torch_grad_focal_loss: hold the focal weight constant in the gradient.
    """

    target_kind: TargetKind = "multi_label"

    def __init__(
        self,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        clip: float = 0.05,
        eps: float = 1e-8,
        disable_torch_grad_focal_loss: bool = True,
    ) -> None:
        super().__init__()
        check_not_negative(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip, eps=eps)
        if eps == 0:
            raise ValueError("eps=0: a certain mistake would cost infinity; use a positive eps such as 1e-8")
        self.gamma_neg, self.gamma_pos, self.clip, self.eps = gamma_neg, gamma_pos, clip, eps
        self.disable_torch_grad_focal_loss = disable_torch_grad_focal_loss

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits against float targets of their shape."""
        return asymmetric_loss(
            logits,
            target,
            self.gamma_neg,
            self.gamma_pos,
            self.clip,
            self.eps,
            self.disable_torch_grad_focal_loss,
        )


class AsymmetricLossOptimized(AsymmetricLoss):
    """`AsymmetricLoss` that keeps only its inputs for the backward pass and computes the rest again.

    Arguments are the same; the focal weight takes part in the gradient by default.
    """

    def __init__(
        self,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        clip: float = 0.05,
        eps: float = 1e-8,
        disable_torch_grad_focal_loss: bool = False,
    ) -> None:
        super().__init__(gamma_neg, gamma_pos, clip, eps, disable_torch_grad_focal_loss)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits against float targets of their shape."""
        return checkpoint(super().forward, logits, target, use_reentrant=False, preserve_rng_state=False)


class ASLSingleLabel(nn.Module):
    """Asymmetric loss over softmax classes with label smoothing.

    Args:
        gamma_pos: focusing exponent of the target class, ≥ 0.
        gamma_neg: focusing exponent of the other classes, ≥ 0.
        eps: label smoothing in [0, 1).
        reduction: `mean` over the rows; anything else sums.
    """

    target_kind: TargetKind = "class_index"

    def __init__(
        self, gamma_pos: float = 0.0, gamma_neg: float = 4.0, eps: float = 0.1, reduction: str = "mean"
    ) -> None:
        super().__init__()
        check_not_negative(gamma_pos=gamma_pos, gamma_neg=gamma_neg, eps=eps)
        self.gamma_pos, self.gamma_neg, self.eps, self.reduction = gamma_pos, gamma_neg, eps, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] against class labels int64 [B]."""
        return asymmetric_single_label_loss(
            logits, target, self.gamma_pos, self.gamma_neg, self.eps, self.reduction
        )


class CyclicalFocalLoss(nn.Module):
    """Asymmetric loss blended with one that favours confident rows, early and late in training.

    Args:
        gamma_pos: focusing exponent of the target class, ≥ 0.
        gamma_neg: focusing exponent of the other classes, ≥ 0.
        gamma_hc: exponent of the weight that favours confident rows, ≥ 0.
        eps: label smoothing in [0, 1).
        reduction: `mean` over the rows; anything else sums.
        epochs: epochs of the whole training.
        factor: the confident share falls to 0 within epochs / factor and rises again afterwards (stays at 0
            for factor = 1).
    """

    target_kind: TargetKind = "class_index"

    def __init__(
        self,
        gamma_pos: float = 0.0,
        gamma_neg: float = 4.0,
        gamma_hc: float = 0.0,
        eps: float = 0.1,
        reduction: str = "mean",
        epochs: int = 70,
        factor: float = 2.0,
    ) -> None:
        super().__init__()
        check_not_negative(
            gamma_pos=gamma_pos, gamma_neg=gamma_neg, gamma_hc=gamma_hc, eps=eps, factor=factor
        )
        if epochs < 1:
            raise ValueError(f"epochs={epochs} must be at least 1")
        self.gamma_pos, self.gamma_neg, self.gamma_hc = gamma_pos, gamma_neg, gamma_hc
        self.eps, self.reduction, self.epochs, self.factor = eps, reduction, epochs, factor

    def confident_share(self, epoch: int) -> float:
        """Share of the weight that favours confident rows in epoch 0, 1, ... (eta of the specification)."""
        # A training of one epoch is the start of the cycle.
        progress = self.factor * epoch / max(self.epochs - 1, 1)
        if self.factor * epoch < self.epochs:
            return 1 - progress
        return 0.0 if self.factor == 1 else (progress - 1) / (self.factor - 1)

    def forward(self, logits: Tensor, target: Tensor, epoch: int) -> Tensor:
        """Loss of logits [B, C] against class labels int64 [B] in epoch 0, 1, ..."""
        return asymmetric_single_label_loss(
            logits,
            target,
            self.gamma_pos,
            self.gamma_neg,
            self.eps,
            self.reduction,
            eta=self.confident_share(epoch),
            gamma_hc=self.gamma_hc,
        )


class ASLFocalLoss(ASLSingleLabel):
    """`ASLSingleLabel` with one focusing exponent for all classes.

    Args:
        gamma: focusing exponent, ≥ 0.
        eps: label smoothing in [0, 1).
        reduction: `mean` over the rows; anything else sums.
    """

    def __init__(self, gamma: float = 2.0, eps: float = 0.1, reduction: str = "mean") -> None:
        check_not_negative(gamma=gamma)
        super().__init__(gamma, gamma, eps, reduction)


def check_reduction(reduction: str) -> str:
    """`reduction` itself.

    Raises:
        ValueError: it is not none, mean or sum.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction={reduction!r} is not one of none, mean, sum")
    return reduction


def check_not_negative(**values: float) -> None:
    """Refuse negative numbers and NaN, by name.

    Raises:
        ValueError: with the name and the value.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"{name}={value!r} must be a number ≥ 0")


def _float_tensor(values: Sequence[float] | float | Tensor | None) -> Tensor | None:
    if values is None or isinstance(values, Tensor):
        return values
    return torch.tensor(values, dtype=torch.get_default_dtype())
