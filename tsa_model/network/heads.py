"""What comes after attention, as plain computations: the wide head, and the mean of an ensemble's members.

They belong to `reference.py`; `fast/classifiers.py` has its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from tsa_model.network.parameters import DualSequenceParameters, SingleSequenceParameters
from tsa_model.settings.model import WIDE_EDGES


def add_wide_head(
    network: SingleSequenceParameters | DualSequenceParameters,
    logits: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
) -> Tensor:
    """Logits [B, classes] plus what a two-layer network reads off the current order's numbers.

    Args:
        network: its `wide` is Linear, ReLU, Linear; None = the logits as they are.
        logits: of the classifier.
        x_num_BLF: the first history, whose last row is the current order.
        x_engineered_BF: its engineered features, if there are any.
    """
    if network.wide is None:
        return logits
    numbers = [x_num_BLF[:, -1]]
    if x_engineered_BF is not None:
        numbers.append(x_engineered_BF)
    x_BF = torch.cat(numbers, dim=-1)
    if network.wide_is_piecewise:
        x_BF = torch.cat([x_BF, piecewise(x_BF)], dim=-1)
    return logits + network.wide(x_BF)


def piecewise(x_BF: Tensor) -> Tensor:
    """How far each number has come through each interval of `WIDE_EDGES`, 0 before it and 1 after it.

    Returns:
        [B, F · intervals], the intervals of the first number first.
    """
    shares = [((x_BF - low) / (high - low)).clamp(0.0, 1.0) for low, high in itertools.pairwise(WIDE_EDGES)]
    return torch.stack(shares, dim=-1).flatten(1)


def mean_of_members(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B, classes] of several networks → their mean."""
    return sum(logits[1:], start=logits[0]) / len(logits)
