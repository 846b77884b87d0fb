from __future__ import annotations

import pytest
import torch
from support.small_training import small_run
from torch import nn

from tsa_model import build_network
from tsa_model.sequences import SequenceStore
from tsa_model.settings.training import TrainConfig
from tsa_model.training.runner import model_config
from tsa_model.training.schedules import create_optimizer, create_schedule


def rates(config: TrainConfig, total_steps: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = create_optimizer(nn.Linear(1, 1), config)
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
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    optimizer = create_optimizer(module, TrainConfig(optimizer="adamw", weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert group["params"] == [module.weight]
    assert (group["weight_decay"], group["betas"]) == (0.1, (0.9, 0.999))


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_all_parameters_together_step_as_one_after_another(kind: str) -> None:
    config = TrainConfig(optimizer=kind, weight_decay=0.01, learning_rate=1e-2)
    together, alone = (nn.Sequential(nn.Linear(30, 20), nn.LayerNorm(20)) for _ in range(2))
    alone.load_state_dict(together.state_dict())
    optimizers = [create_optimizer(module, config) for module in (together, alone)]
    optimizers[1].param_groups[0]["foreach"] = False
    for _ in range(5):
        for p, q in zip(together.parameters(), alone.parameters(), strict=True):
            p.grad = q.grad = torch.randn_like(p)
        for optimizer in optimizers:
            optimizer.step()
    assert optimizers[0].param_groups[0]["foreach"]
    for p, q in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_step_reads_gradients_of_any_memory_layout(kind: str) -> None:
    plain, other = (nn.Linear(30, 20, dtype=torch.float64) for _ in range(2))
    other.load_state_dict(plain.state_dict())
    config = TrainConfig(optimizer=kind, weight_decay=0.01, learning_rate=1e-2)
    gradient = torch.randn(20, 30, dtype=torch.float64)
    plain.weight.grad, other.weight.grad = gradient, gradient.t().contiguous().t()
    for module in (plain, other):
        module.bias.grad = torch.zeros(20, dtype=torch.float64)
        create_optimizer(module, config).step()
    torch.testing.assert_close(other.weight, plain.weight, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("schedule", ["one_cycle", "warmup", "constant"])
def test_the_gate_may_have_a_rate_of_its_own(store: SequenceStore, schedule: str) -> None:
    config = TrainConfig(schedule=schedule, learning_rate=1e-4, gate_rate_factor=0.1)
    network = build_network(model_config(small_run(), store))
    optimizer = create_optimizer(network, config)
    create_schedule(optimizer, config, total_steps=50)
    others, gate = optimizer.param_groups
    assert gate["lr"] == pytest.approx(0.1 * others["lr"])
    assert sum(p.numel() for p in gate["params"]) == sum(
        p.numel()
        for module in (network.gate_emb, network.gate_score)
        for p in module.parameters()
        if p.requires_grad
    )
    trained = [p for p in network.parameters() if p.requires_grad]
    assert len(others["params"]) + len(gate["params"]) == len(trained)
