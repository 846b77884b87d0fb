"""Modules whose tensors nobody fills, because they are replaced right after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FILLING: frozenset[Callable[..., Any]] = frozenset(
    {
        nn.init.constant_,
        nn.init.kaiming_uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.xavier_normal_,
        nn.init.xavier_uniform_,
        Tensor.normal_,
        Tensor.uniform_,
    }
)
"""Calls that fill the tensor they are given."""


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in FILLING:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def unfilled() -> Iterator[None]:
    """Make modules quickly: their tensors have memory, but nothing is written into it.

    The device `meta` does the same without memory; its first random tensor imports two seconds of torch.
    Torch's generator is left as it is.
    """
    with torch.random.fork_rng(devices=[]), _Unfilled():
        yield
