"""What follows from weights alone, made once and kept for as long as the weights stay as they are.

Only evaluation keeps anything: in training weights change with every step and gradients must reach them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _len_torch_dispatch_stack

T = TypeVar("T")
State = list[tuple[Tensor, int, int, float]]

_kept: WeakKeyDictionary[nn.Module, dict[str, tuple[State, Any]]] = WeakKeyDictionary()


def is_plain(training: bool, device: torch.device) -> bool:
    """Whether a block only evaluates: no gradient, no dropout, no mixed precision."""
    return not (training or torch.is_grad_enabled() or torch.is_autocast_enabled(device.type))


def prepared(owner: object, name: str, weights: tuple[Tensor, ...], make: Callable[[], T]) -> T:
    """What `make` returns, made again when one of the weights is another tensor or was written to.

    Torch counts the writes to a tensor, but not those through `.data` nor a fused optimiser's. So a weighted
    sum of all its values is compared as well, and everything is forgotten when a network computes what
    gradients are taken of (`forget`).

    Args:
        owner: the module that the result belongs to.
        name: of the result, among those of this module.
        weights: everything the result depends on.
        make: makes it.
    """
    module = cast(nn.Module, owner)
    if not _can_be_kept(module, weights):
        return make()
    state = [(weight, weight._version, weight.data_ptr(), _sum_of(weight)) for weight in weights]
    results = _kept.setdefault(module, {})
    found = results.get(name)
    if found is None or not _same(found[0], state):
        found = results[name] = (state, make())
    return cast(T, found[1])


def forget() -> None:
    """Keep nothing of what was made: weights are about to be trained."""
    _kept.clear()


def _can_be_kept(module: nn.Module, weights: tuple[Tensor, ...]) -> bool:
    """Not where somebody traces or watches torch's operations: tensors may have no values there."""
    if torch.compiler.is_compiling() or _len_torch_dispatch_stack() > 0:
        return False
    if any(type(weight) is not nn.Parameter or weight.is_inference() for weight in weights):
        return False
    device = weights[0].device  # elsewhere a sum would be waited for
    return device.type == "cpu" and is_plain(module.training, device)


def _sum_of(weight: Tensor) -> float:
    """Σ weight · number, a random one for every place: a write that leaves it alone is below rounding."""
    return torch.dot(weight.detach().reshape(-1), _numbers(weight.numel(), weight.dtype)).item()


@cache
def _numbers(n: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=dtype)


def _same(before: State, now: State) -> bool:
    return all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(before, now, strict=True))
