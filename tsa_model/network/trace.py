"""What a forward pass lets others see: named tensors, recorded only when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class Trace:
    """Named tensors of one forward pass, in the order they were computed.

    Names follow the parameters' names: `order_attention_cid.layer_stack.0.attention_weights`.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._path: list[str] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix every name recorded inside with `name`."""
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    def record(self, name: str, value: Tensor) -> None:
        """Keep `value` (detached) under the current path."""
        self.tensors[".".join([*self._path, name])] = value.detach()


class _Silent(Trace):
    """Records nothing."""

    def record(self, name: str, value: Tensor) -> None:
        pass


SILENT: Trace = _Silent()
"""The default of every `trace` argument."""
