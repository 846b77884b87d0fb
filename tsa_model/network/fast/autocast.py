"""Mixed precision for the hand-written functions, which torch's autocast does not see into."""

from __future__ import annotations

import torch
from torch import Tensor


def lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in autocast's dtype where autocast is on, otherwise as they are."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor.to(dtype) for tensor in tensors)
