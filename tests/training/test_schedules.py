from __future__ import annotations

import pytest
import torch
from torch import nn

from tsa_model.training.config import TrainConfig
from tsa_model.training.schedules import create_optimizer, create_schedule


def rates(config: TrainConfig, total_steps: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = create_optimizer([nn.Parameter(torch.zeros(1))], config)
    schedule = create_schedule(optimizer, config, total_steps)
    seen = []
    for _ in range(total_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_one_cycle_is_pytorchs() -> None:
    seen = rates(TrainConfig(max_learning_rate=1e-3), 10)
    assert seen[0] == pytest.approx(1e-3 / 25)
    assert seen[2] == max(seen) == pytest.approx(1e-3)  # the third of ten steps
    assert seen[-1] == pytest.approx(1e-3 / 25 / 1e4)


def test_warmup_rises_linearly_and_stays() -> None:
    config = TrainConfig(schedule="warmup", learning_rate=1e-4, max_learning_rate=1e-3, warmup_fraction=0.3)
    expected = [1e-4, 4e-4, 7e-4, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]
    assert rates(config, 10) == pytest.approx(expected)


def test_constant_is_constant() -> None:
    assert rates(TrainConfig(schedule="constant", learning_rate=3e-4), 4) == pytest.approx([3e-4] * 4)


def test_optimizer_is_the_configured_one_over_what_is_trained() -> None:
    trained, stored = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2), requires_grad=False)
    optimizer = create_optimizer([trained, stored], TrainConfig(optimizer="adamw", weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    group = optimizer.param_groups[0]
    assert group["params"] == [trained]
    assert (group["weight_decay"], group["betas"]) == (0.1, (0.9, 0.999))
