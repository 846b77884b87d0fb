"""Where float32 is not enough: training's gradients of the narrow aggregation layers, sums that cancel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Trainable(Protocol):
    """Parameters that are being trained or evaluated; every module is one.

    Attributes:
        training: True in training, False in evaluation.
    """

    training: bool

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, in the order of their names in the checkpoint."""


def token_dtype(block: Trainable, device: torch.device) -> torch.dtype | None:
    """In which dtype `block` makes tokens from features: float64 for float32 in training, else None: its own.

    A layer normalisation takes away what all coordinates of a token share, and that is what an aggregation
    layer one number wide adds. So the gradient of such a layer is a sum of terms a thousand times its size
    that nearly cancel. With terms rounded to float32 up to 9e-5 of it were wrong; in float64, from the
    normalisations down to the layer, 5e-5. Evaluation has no such sums, and mixed precision asks
    for less: both keep their dtype.
    """
    if not block.training or torch.is_autocast_enabled(device.type) or device.type not in ("cpu", "cuda"):
        return None
    return torch.float64 if next(block.parameters()).dtype == torch.float32 else None


def computed_in(dtype: torch.dtype | None, module: nn.Module, x: Tensor) -> Tensor:
    """`module(x)` in `dtype`; gradients reach the module's parameters in the parameters' own dtype."""
    if dtype is None:
        return module(x)
    parameters = {name: parameter.to(dtype) for name, parameter in module.named_parameters()}
    return functional_call(module, parameters, (x.to(dtype),))
