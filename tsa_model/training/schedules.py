"""Optimisers and learning-rate schedules (TSA spec, section 13)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LinearLR, LRScheduler, OneCycleLR

from tsa_model.training.config import TrainConfig


def create_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> Optimizer:
    """Adam or AdamW over the parameters that are trained, betas 0.9 and 0.999."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    kind = {"adam": Adam, "adamw": AdamW}[config.optimizer]
    return kind(trained, lr=config.learning_rate, weight_decay=config.weight_decay)


def create_schedule(optimizer: Optimizer, config: TrainConfig, total_steps: int) -> LRScheduler:
    """The schedule of the learning rate.

    Args:
        optimizer: whose rate is set.
        config: kind and rates.
        total_steps: how often the schedule will advance: optimiser steps, or epochs when
            `schedule_interval` is `epoch`.

    Returns:
        `one_cycle`: PyTorch's OneCycleLR with its defaults, as the legacy has it: from max/25 up to max in
        the first 30 % and down to max/250,000. `warmup`: linearly from `learning_rate` to
        `max_learning_rate`, then constant. `constant`: `learning_rate`.
    """
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, max_lr=config.max_learning_rate, total_steps=max(total_steps, 2))
    if config.schedule == "warmup":
        for group in optimizer.param_groups:
            group["lr"] = config.max_learning_rate
        return LinearLR(
            optimizer,
            start_factor=config.learning_rate / config.max_learning_rate,
            total_iters=max(1, round(config.warmup_fraction * total_steps)),
        )
    return ConstantLR(optimizer, factor=1.0, total_iters=0)
