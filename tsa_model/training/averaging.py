"""A moving average of the weights over the optimiser steps, which is what is validated and saved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning.callbacks import WeightAveraging

FIRST_STEPS = 10
"""Until about this many steps over 1 - decay, the average forgets faster, so fresh weights are soon gone."""


class AveragedWeights(WeightAveraging):
    """Keeps the exponential moving average; checkpoints hold both, so a resumed run goes on with both.

    Args:
        decay: share of the average that a step keeps, in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=partial(move_towards, decay))


@torch.no_grad()
def move_towards(decay: float, average: Sequence[Any], current: Sequence[Any], n_averaged: Any) -> None:
    """Move the average: a ← a + (1 - d)·(c - a), with d = min(decay, (1 + n) / (10 + n)).

    Args:
        decay: its largest value.
        average: tensors, changed in place.
        current: tensors of the same shapes.
        n_averaged: steps that are in the average already.
    """
    n = int(n_averaged)
    kept = min(decay, (1 + n) / (FIRST_STEPS + n))
    torch._foreach_lerp_(list(average), list(current), 1.0 - kept)
