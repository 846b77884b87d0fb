"""What comes after attention, as plain computations: the wide head, and the mean of an ensemble's members.

They belong to `reference.py`; `fast/classifiers.py` has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def add_wide_head(
    wide: nn.Sequential | None, logits: Tensor, x_num_BLF: Tensor, x_engineered_BF: Tensor | None
) -> Tensor:
    """Logits [B, classes] plus what a two-layer network reads off the current order's numbers.

    Args:
        wide: Linear, ReLU, Linear; None = the logits as they are.
        logits: of the classifier.
        x_num_BLF: the first history, whose last row is the current order.
        x_engineered_BF: its engineered features, if there are any.
    """
    if wide is None:
        return logits
    numbers = [x_num_BLF[:, -1]]
    if x_engineered_BF is not None:
        numbers.append(x_engineered_BF)
    return logits + wide(torch.cat(numbers, dim=-1))


def mean_of_members(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B, classes] of several networks → their mean."""
    return sum(logits[1:], start=logits[0]) / len(logits)
