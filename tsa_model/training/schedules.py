"""Optimisers and learning-rate schedules (TSA spec, section 13)."""

from __future__ import annotations

import re
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LinearLR, LRScheduler, OneCycleLR

from tsa_model.settings.training import TrainConfig

GATE = re.compile(r"(^|\.)(gate_emb|gate_score|embedding_gate)\.")
"""Parameters of the dual network's gate (TSA spec, section 9)."""


def create_optimizer(module: nn.Module, config: TrainConfig) -> Optimizer:
    """Adam or AdamW over the parameters that are trained, betas 0.9 and 0.999.

    With `gate_rate_factor` other than 1 the gate's parameters form a second group. All parameters step
    together, which gives the same bits as one after another; torch decides where they are sharded. Never
    `fused`: on the processor that step takes a gradient whose memory is laid out otherwise than its
    parameter's for another.
    """
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    own_rate = config.gate_rate_factor != 1.0
    gate = [p for name, p in trained.items() if own_rate and GATE.search(name)]
    others = [p for name, p in trained.items() if not (own_rate and GATE.search(name))]
    groups: list[dict[str, Any]] = [{"params": others, "rate_factor": 1.0}]
    if gate:
        groups.append({"params": gate, "rate_factor": config.gate_rate_factor})
    for group in groups:
        group["lr"] = config.learning_rate * group["rate_factor"]
    kind = {"adam": Adam, "adamw": AdamW}[config.optimizer]
    together = None if config.strategy == "fsdp" else True
    return kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=together)


def create_schedule(optimizer: Optimizer, config: TrainConfig, total_steps: int) -> LRScheduler:
    """The schedule of the learning rate.

    Args:
        optimizer: whose rate is set; made by `create_optimizer`.
        config: kind and rates.
        total_steps: how often the schedule will advance: optimiser steps, or epochs when
            `schedule_interval` is `epoch`.

    Returns:
        `one_cycle`: PyTorch's OneCycleLR with its defaults, as the legacy has it: from max/25 up to max in
        the first 30 % and down to max/250,000. `warmup`: linearly from `learning_rate` to
        `max_learning_rate`, then constant. `constant`: `learning_rate`.
    """
    highest = [config.max_learning_rate * group["rate_factor"] for group in optimizer.param_groups]
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, max_lr=highest, total_steps=max(total_steps, 2))
    if config.schedule == "warmup":
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate
        return LinearLR(
            optimizer,
            start_factor=config.learning_rate / config.max_learning_rate,
            total_iters=max(1, round(config.warmup_fraction * total_steps)),
        )
    return ConstantLR(optimizer, factor=1.0, total_iters=0)
