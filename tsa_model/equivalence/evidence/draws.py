"""The same random draws in both computations: torch still drops, but the gate says what is dropped.

Two computations draw in another order and in other shapes: one drops whole batches, the other pieces of rows,
and of a last layer the one token that is read out. So each place of dropout gets numbers of its own, by row,
position and coordinate, and whoever draws there is given the part that belongs to the shape asked for.

A place is known by its rate, which no other place has. So nothing is changed in the computation that is
watched: its own call of dropout, its own scale and its own backward pass run.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tsa_model.network.blocks import MixtureOfExperts, OrderAttentionModule, TemporalMultiheadAttention
from tsa_model.network.forms.experts import NoisyTop2Experts
from tsa_model.network.networks import Network

BLOCK_ROWS = 64
"""Rows whose numbers are drawn together."""
APART = 2.0**-28
"""Relative distance of the rates of two places: far above float64's rounding, far below any effect."""


@dataclass(frozen=True)
class Place:
    """Somewhere random numbers are drawn in training.

    Attributes:
        name: of the module.
        rate: that identifies it; 0 = noise is added there, nothing is dropped.
        n_tokens: tokens of a row; 1 where a row is one vector.
        n_heads: of an attention; 0 = the draws belong to tokens, not to attention weights.
        last: whether a computation may leave out all tokens but the last one.
        may_sort: whether a computation may sort the rows and leave out leading padding.
    """

    name: str
    rate: float
    n_tokens: int
    n_heads: int
    last: bool
    may_sort: bool


class StrayDrawError(ValueError):
    """A computation drew random numbers in a shape that its place does not have."""


@dataclass
class _Numbers:
    """Uniform numbers of one place, row after row, made when they are asked for."""

    place: Place
    width: int
    generator: torch.Generator
    blocks: list[Tensor] = field(default_factory=list)
    n_used: int = 0

    def take(self, n: int) -> Tensor:
        """The next `n` rows, [n, heads, tokens, tokens] or [n, tokens, width]."""
        place = self.place
        shape = (
            (place.n_heads, place.n_tokens, place.n_tokens) if place.n_heads else (place.n_tokens, self.width)
        )
        start, end = self.n_used, self.n_used + n
        while len(self.blocks) * BLOCK_ROWS < end:
            self.blocks.append(self._draw((BLOCK_ROWS, *shape)))
        self.n_used = end
        first = start // BLOCK_ROWS
        rows = torch.cat(self.blocks[first : -(-end // BLOCK_ROWS)] or [self._draw((0, *shape))])
        return rows[start - first * BLOCK_ROWS : end - first * BLOCK_ROWS]

    def alike(self, n: int) -> Tensor:
        """The same numbers for every row, and for every token unless they belong to attention weights."""
        self.n_used = 0
        first = self.take(1)
        return (first if self.place.n_heads else first[:, -1:]).expand(n, *first.shape[1:])

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        make = torch.randn if self.place.rate == 0 else torch.rand
        return make(shape, generator=self.generator)


class SameDraws(TorchDispatchMode):
    """While it is active, every place draws the numbers that belong to it, whichever computation asks.

    Args:
        places: rate → place.
        noisy: the modules that add noise → place.
        by_row: False gives all rows the same numbers at places that may sort them.
        seed: of the numbers.

    Attributes:
        drawn: names of the places that were asked.
        strange: descriptions of draws with a rate no place has.
    """

    def __init__(
        self, places: dict[float, Place], noisy: dict[nn.Module, Place], by_row: bool, seed: int
    ) -> None:
        super().__init__()
        self._places, self._noisy, self._by_row, self._seed = places, noisy, by_row, seed
        self._numbers: dict[str, _Numbers] = {}
        self._noise: Place | None = None
        self._n_uniform = 0
        self.drawn: set[str] = set()
        self.strange: list[str] = []

    @contextmanager
    def watching_noise(self) -> Iterator[None]:
        """Know which module adds noise."""

        def enter(module: nn.Module, *_: Any) -> None:
            self._noise = self._noisy[module]

        def leave(*_: Any) -> None:
            self._noise = None

        handles = [module.register_forward_pre_hook(enter) for module in self._noisy]
        handles += [module.register_forward_hook(leave) for module in self._noisy]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: torch need not guard every single operation against it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer a draw; everything else is computed as always."""
        if func not in _DRAWS:
            return func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if func is aten.bernoulli_.float:
            place = self._place(1 - (args[1] if len(args) > 1 else 0.5))
            if place is not None:
                return args[0].copy_(self.kept(place, args[0]))
        elif func is aten.native_dropout.default and args[2] is not False:
            place = self._place(args[1])
            if place is not None:
                kept = self.kept(place, args[0])
                return args[0] * kept * (1 / (1 - args[1])), kept
        elif func is aten.randn_like.default and self._noise is not None:
            return self._part(self._noise, args[0]).to(args[0])
        elif func is aten.uniform_.default:
            return args[0].copy_(self._uniform(tuple(args[0].shape)))
        elif func is aten.rand.default:
            return torch.ops.aten.empty.memory_format(*args, **(kwargs or {})).copy_(
                self._uniform(tuple(args[0]))
            )
        elif func in _RANDOM:
            self.strange.append(str(func))
        return func(*args, **(kwargs or {}))

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        """The numbers second experts are drawn with, [positions, rows]: the same ones in every precision.

        A row has the same numbers in a larger batch: one computation draws for rows without a card as well.
        """
        self._n_uniform += 1
        generator = torch.Generator().manual_seed(self._seed + self._n_uniform)
        numbers = torch.rand(shape[::-1], generator=generator, dtype=torch.float64)
        return numbers.permute(*reversed(range(len(shape))))

    def _place(self, rate: float) -> Place | None:
        for known, place in self._places.items():
            if abs(known - rate) < 0.25 * APART * known:
                return place
        self.strange.append(f"a dropout with the rate {rate:.6g}")
        return None

    def kept(self, place: Place, like: Tensor) -> Tensor:
        """What is not dropped at a place, bool in the shape of `like`; the next call has the next rows."""
        return self._part(place, like) >= place.rate

    def _part(self, place: Place, like: Tensor) -> Tensor:
        """The numbers of a place, in the shape and order of `like`."""
        self.drawn.add(place.name)
        if place.name not in self._numbers:
            generator = torch.Generator().manual_seed(self._seed + zlib.crc32(place.name.encode()))
            self._numbers[place.name] = _Numbers(place, like.shape[-1], generator)
        numbers = self._numbers[place.name]
        take = numbers.alike if place.may_sort and not self._by_row else numbers.take
        shape = tuple(like.shape)
        if place.n_heads:
            found = _of_attention(place, shape, take(shape[0]))
        elif len(shape) == 3:
            found = take(shape[1])[:, -shape[0] :].transpose(0, 1)
        elif place.last or place.n_tokens == 1 or take == numbers.alike:
            found = take(shape[0])[:, -1]
        else:
            found = take(shape[0] // place.n_tokens).flatten(0, 1)
        if found.shape != like.shape:
            raise StrayDrawError(
                f"{place.name} draws for a tensor of shape {shape}, which does not fit its"
                f" {place.n_tokens} tokens a row"
            )
        return found


def _of_attention(place: Place, shape: tuple[int, ...], numbers: Tensor) -> Tensor:
    """Numbers [b, H, T, T] for weights [b, H, T', T'], or without an axis of heads or of queries."""
    n_keys = shape[-1]
    if len(shape) == 4:
        return numbers[..., -shape[2] :, -n_keys:]
    if place.n_heads > 1 or (place.last and shape[1] == 1):
        return numbers[:, :, -1, -n_keys:]
    return numbers[:, 0, -shape[1] :, -n_keys:]


_RANDOM = {
    torch.ops.aten.bernoulli.default,
    torch.ops.aten.bernoulli.p,
    torch.ops.aten.bernoulli_.Tensor,
    torch.ops.aten.randn_like.default,
    torch.ops.aten.normal_.default,
    torch.ops.aten.randn.default,
}
"""Draws that belong to no place."""
_DRAWS = _RANDOM | {
    torch.ops.aten.bernoulli_.float,
    torch.ops.aten.native_dropout.default,
    torch.ops.aten.uniform_.default,
    torch.ops.aten.rand.default,
}
"""All draws: one operation of hundreds."""


def set_apart(
    network: Network, rate: float | None = None
) -> tuple[dict[float, Place], dict[nn.Module, Place]]:
    """Give every place of dropout a rate of its own, in place.

    Args:
        network: to change; rates of 0 stay 0.
        rate: of all places; None = each keeps its own, but for a tiny part.

    Returns:
        rate → place, and the modules that add noise → place.
    """
    dropouts: dict[float, Place] = {}
    noisy: dict[nn.Module, Place] = {}
    for i, (name, module) in enumerate(network.named_modules()):
        if isinstance(module, NoisyTop2Experts):
            noisy[module] = _place(network, name, 0.0, 0)
        if not isinstance(module, nn.Dropout | TemporalMultiheadAttention):
            continue
        attribute = "p" if isinstance(module, nn.Dropout) else "dropout"
        own = (getattr(module, attribute) if rate is None else rate) * (1 + i * APART)
        setattr(module, attribute, own)
        if own > 0:
            dropouts[own] = _place(network, name, own, getattr(module, "num_heads", 0))
    return dropouts, noisy


def _place(network: Network, name: str, rate: float, n_heads: int) -> Place:
    config, top = network.config, network.get_submodule(name.split(".")[0])
    stack = re.match(r"(.*\.layer_stack\w*)\.(\d+)\.", name)
    queues = any(isinstance(module, MixtureOfExperts) for module in top.modules())
    n_features = config.n_cat_features + config.n_num_features + config.n_engineered_num_features
    n_layers = 0 if stack is None else len(list(network.get_submodule(stack[1]).children()))
    return Place(
        name=name,
        rate=rate,
        n_tokens=1 if stack is None else 1 + (n_features if name.startswith("feature_") else config.seq_len),
        n_heads=n_heads,
        last=stack is not None and int(stack[2]) == n_layers - 1,
        may_sort=isinstance(top, OrderAttentionModule) and not queues,
    )
