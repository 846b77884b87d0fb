from __future__ import annotations

import math

import pytest
import torch

from tsa_model.losses import LOSSES
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

LOGITS = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]])
LABELS = torch.tensor([1, 0])


def test_cross_entropy_by_hand() -> None:
    loss = Objective(TrainConfig())(LOGITS, LABELS)
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_loss_is_a_scalar_with_gradients(name: str, n_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(16, n_classes, generator=generator, requires_grad=True)
    labels = torch.randint(0, n_classes, (16,), generator=generator)
    loss = Objective(TrainConfig(loss=name))(logits, labels)
    assert loss.shape == ()
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_mean_over_rows(name: str) -> None:
    once = Objective(TrainConfig(loss=name))(LOGITS, LABELS)
    twice = Objective(TrainConfig(loss=name))(LOGITS.repeat(2, 1), LABELS.repeat(2))
    torch.testing.assert_close(once, twice)


def test_no_reduction_is_a_mean() -> None:
    none = Objective(TrainConfig(loss="FocalLoss", loss_parameters={"reduction": "none"}))(LOGITS, LABELS)
    torch.testing.assert_close(none, Objective(TrainConfig(loss="FocalLoss"))(LOGITS, LABELS))


def test_a_cyclical_loss_runs_over_the_whole_training() -> None:
    parameters = {"gamma_hc": 2.0}
    objective = Objective(TrainConfig(loss="CyclicalFocalLoss", max_epochs=8, loss_parameters=parameters))
    values = [float(objective(LOGITS, LABELS, epoch)) for epoch in range(8)]
    assert objective.loss.epochs == 8
    assert min(values[3:5]) < values[0]  # in the middle nothing favours the confident rows
    assert values[7] == pytest.approx(values[0])
