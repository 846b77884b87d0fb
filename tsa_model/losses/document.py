"""Two losses in the form TSA documents write them (TSA spec, section 11)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsa_model.losses.functional import at_least_float32, check_class_targets, log_probabilities, reduce
from tsa_model.losses.modules import TargetKind, check_not_negative, check_reduction


def focal_cross_entropy(
    logits_BC: Tensor,
    target_B: Tensor,
    alpha: float = 0.25,
    gamma: float | Tensor = 2.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross entropy times alpha · (1 - pt)^gamma, pt the probability of the row's class.

    Args:
        logits_BC: float [B, C], C ≥ 2.
        target_B: int64 [B], class of each row.
        alpha: scale of the loss.
        gamma: focusing exponent, ≥ 0.
        reduction: none | mean | sum over the rows.

    Returns:
        [B] for `none`, otherwise a scalar.
    """
    check_class_targets(logits_BC, target_B)
    logits_BC = at_least_float32(logits_BC)
    log_p_BC, log_not_p_BC = log_probabilities(logits_BC)
    log_pt_B, log_not_pt_B = (x.gather(1, target_B[:, None])[:, 0] for x in (log_p_BC, log_not_p_BC))
    loss_B = -alpha * torch.exp(gamma * log_not_pt_B) * log_pt_B
    return reduce(loss_B, reduction)


class FocalCrossEntropyLoss(nn.Module):
    """Focal loss of the row's class alone; arguments as in `focal_cross_entropy`."""

    target_kind: TargetKind = "class_index"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        check_not_negative(alpha=alpha, gamma=gamma)
        self.alpha, self.gamma, self.reduction = alpha, gamma, check_reduction(reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] against class labels int64 [B]."""
        return focal_cross_entropy(logits, target, self.alpha, self.gamma, self.reduction)


class SteppedCyclicalFocalLoss(nn.Module):
    """`FocalCrossEntropyLoss` whose gamma falls along a half cosine, one step per call, and starts again.

    The first call has `gamma_max`; call number `cycle_length` would reach `gamma_min` and has `gamma_max`
    again. Calls in evaluation mode do not step. The step is a buffer, so a resumed training goes on where
    it stopped.

    Args:
        alpha: scale of the loss.
        gamma_min: focusing exponent at the end of a cycle, ≥ 0.
        gamma_max: focusing exponent at its start.
        cycle_length: calls per cycle.
        reduction: none | mean | sum over the rows.
    """

    target_kind: TargetKind = "class_index"
    step: Tensor

    def __init__(
        self,
        alpha: float = 0.25,
        gamma_min: float = 1.0,
        gamma_max: float = 3.0,
        cycle_length: int = 1000,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        check_not_negative(alpha=alpha, gamma_min=gamma_min, gamma_max=gamma_max)
        if cycle_length < 1:
            raise ValueError(f"cycle_length={cycle_length} must be at least 1")
        self.alpha, self.gamma_min, self.gamma_max = alpha, gamma_min, gamma_max
        self.cycle_length, self.reduction = cycle_length, check_reduction(reduction)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def gamma(self) -> Tensor:
        """The focusing exponent of the next call, a float64 scalar tensor on the module's device."""
        position = (self.step % self.cycle_length).double() / self.cycle_length
        return self.gamma_min + (self.gamma_max - self.gamma_min) * (1 + torch.cos(math.pi * position)) / 2

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] against class labels int64 [B]; steps in training mode."""
        loss = focal_cross_entropy(logits, target, self.alpha, self.gamma, self.reduction)
        if self.training:
            self.step += 1
        return loss
