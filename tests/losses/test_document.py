"""The losses in the form documents write them, against loops over rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tsa_model.losses import FocalCrossEntropyLoss, SteppedCyclicalFocalLoss, create_loss_function


def case(n_classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(8, n_classes, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.randint(n_classes, (8,), generator=generator)


def by_row(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> list[float]:
    """Reference: alpha·(1 - pt)^gamma·CE, one row at a time."""
    losses = []
    for row, y in zip(logits.tolist(), target.tolist(), strict=True):
        pt = math.exp(row[y]) / sum(math.exp(x) for x in row)
        losses.append(alpha * (1 - pt) ** gamma * -math.log(pt))
    return losses


@pytest.mark.parametrize("n_classes", [2, 3])
def test_focal_cross_entropy_weighs_the_cross_entropy_of_each_row(n_classes: int) -> None:
    logits, target = case(n_classes)
    expected = by_row(logits, target, alpha=0.3, gamma=1.7)
    for reduction, value in (("none", expected), ("sum", sum(expected)), ("mean", sum(expected) / 8)):
        loss = FocalCrossEntropyLoss(alpha=0.3, gamma=1.7, reduction=reduction)
        assert loss(logits, target).tolist() == pytest.approx(value, rel=1e-12)


def test_focal_cross_entropy_without_focus_is_cross_entropy() -> None:
    logits, target = case()
    focal = FocalCrossEntropyLoss(alpha=1.0, gamma=0.0)(logits, target)
    torch.testing.assert_close(focal, torch.nn.functional.cross_entropy(logits, target), rtol=1e-12, atol=0)


def test_gamma_falls_along_a_half_cosine_and_starts_again() -> None:
    logits, target = case()
    loss = SteppedCyclicalFocalLoss(alpha=0.5, gamma_min=1.0, gamma_max=3.0, cycle_length=4)
    for gamma in [3.0, 2 + math.sqrt(0.5), 2.0, 2 - math.sqrt(0.5), 3.0, 2 + math.sqrt(0.5)]:
        value = loss(logits, target).item()
        assert value == pytest.approx(sum(by_row(logits, target, 0.5, gamma)) / 8, rel=1e-12)


def test_default_cycle_falls_from_three_to_nearly_one_in_a_thousand_calls() -> None:
    loss = SteppedCyclicalFocalLoss()
    logits, target = case()
    gammas = []
    for _ in range(1000):
        gammas.append(loss.gamma.item())
        loss(logits.detach(), target)
    assert gammas[0] == 3.0
    assert gammas[500] == pytest.approx(2.0)
    assert 1.0 < gammas[999] < 1.00001
    assert gammas == sorted(gammas, reverse=True)
    assert loss.gamma.item() == 3.0


def test_evaluation_does_not_step() -> None:
    logits, target = case()
    loss = SteppedCyclicalFocalLoss(cycle_length=10).eval()
    assert loss(logits, target).item() == loss(logits, target).item()
    assert loss.step.item() == 0


def test_a_resumed_training_goes_on_at_the_same_step() -> None:
    logits, target = case()
    first = SteppedCyclicalFocalLoss(cycle_length=10)
    for _ in range(3):
        first(logits, target)
    resumed = SteppedCyclicalFocalLoss(cycle_length=10)
    resumed.load_state_dict(first.state_dict())
    assert resumed(logits, target).item() == first(logits, target).item()
    assert resumed.step.item() == 4


@pytest.mark.parametrize("name", ["FocalCrossEntropyLoss", "SteppedCyclicalFocalLoss"])
def test_gradients_are_derivatives(name: str) -> None:
    logits, target = case()
    loss = create_loss_function(name).eval()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)
