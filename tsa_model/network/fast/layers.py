"""Attention layers over the tokens of a batch, piece by piece, and the layer that reads out one token.

Where no gradient is recorded the residual stream lives in one place: what a layer adds is added there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling, attend_last, attention_over
from tsa_model.network.fast.pieces import PieceSizes, Shapes
from tsa_model.network.parameters import LayerParameters, MixtureParameters
from tsa_model.network.trace import SILENT, Trace


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch in one tensor: piece after piece, row after row.

    Attributes:
        x_nE: the tokens; whoever passes them to a layer gives them away.
        shapes: rows and tokens per row of every piece, (b, T).
    """

    x_nE: Tensor
    shapes: Shapes

    @classmethod
    def of(cls, pieces: Iterable[Tensor]) -> Tokens:
        """The tokens of pieces [b, T, E]."""
        parts = list(pieces)
        shapes = tuple((x_BTE.shape[0], x_BTE.shape[1]) for x_BTE in parts)
        return cls(torch.cat([x_BTE.flatten(0, 1) for x_BTE in parts]), shapes)

    @property
    def n_rows(self) -> int:
        """B."""
        return sum(b for b, _ in self.shapes)

    def with_values(self, x_nE: Tensor) -> Tokens:
        """Other values of the same tokens."""
        return Tokens(x_nE, self.shapes)

    def pieces(self) -> list[Tensor]:
        """Each piece, [b, T, E], in the memory of the whole."""
        parts = self.x_nE.split([b * T for b, T in self.shapes])
        return [x.view(b, T, x.shape[1]) for x, (b, T) in zip(parts, self.shapes, strict=True)]

    def rows(self) -> Tensor:
        """[B, T, E]; only of pieces that have the same length."""
        return self.x_nE.view(self.n_rows, self.shapes[0][1], self.x_nE.shape[1])

    def record(self, trace: Trace, name: str) -> None:
        """Record them as [T, B, E] where somebody asks."""
        if trace is not SILENT:  # a copy: the next layer may write into the tokens
            trace.record(name, self.rows().transpose(0, 1).clone())


def rows_are_independent(layers: nn.ModuleList) -> bool:
    """Whether no mixture of these layers lets one row of the batch influence another."""
    feedforwards = [cast(LayerParameters, layer).feedforward for layer in layers]
    return all(block.unlimited for block in feedforwards if isinstance(block, MixtureParameters))


def rows_never_queue(layers: nn.ModuleList, n_rows: int) -> bool:
    """Whether every mixture of these layers has a slot for whatever so few rows choose."""
    feedforwards = [cast(LayerParameters, layer).feedforward for layer in layers]
    return not any(block.may_queue(n_rows) for block in feedforwards if isinstance(block, MixtureParameters))


def drop_anything(layers: nn.ModuleList) -> bool:
    """Whether a dropout of these layers is in force."""
    blocks = [cast(LayerParameters, layer).multi_attn for layer in layers]
    dropouts = [module for module in layers.modules() if isinstance(module, nn.Dropout)]
    return any(b.training and b.dropout > 0 for b in blocks) or any(d.training and d.p > 0 for d in dropouts)


def add_up(residual: Tensor, dropout: nn.Module, parts: Iterator[Tensor]) -> Tensor:
    """Return residual + dropout(parts, one after another); without gradients in the memory of `residual`."""
    if torch.is_grad_enabled():
        return residual + dropout(_whole(parts))
    start = 0
    for part in parts:
        residual[start : start + len(part)].add_(dropout(part) if dropout.training else part)
        start += len(part)
    return residual


def _whole(parts: Iterator[Tensor]) -> Tensor:
    first, *others = parts
    return torch.cat([first, *others]) if others else first


def add_attention(
    layer: LayerParameters, tokens: Tokens, scalings: list[Scaling], norm: nn.Module | None = None
) -> Tensor:
    """Return tokens + attention of the tokens, normalised before where there is a `norm`, [n, E]."""
    attend, x_nE = attention_over(layer.multi_attn, len(tokens.x_nE)), tokens.x_nE
    if attend.adds_in_place and not layer.dropout1.training:
        for x_BTE, scaling in zip(tokens.pieces(), scalings, strict=True):
            attend.add_to(x_BTE, x_BTE if norm is None else norm(x_BTE), scaling)
        return x_nE
    if not torch.is_grad_enabled():
        parts = (
            attend(x_BTE if norm is None else norm(x_BTE), scaling).flatten(0, 1)
            for x_BTE, scaling in zip(tokens.pieces(), scalings, strict=True)
        )
        return add_up(x_nE, layer.dropout1, parts)
    normed_nE = x_nE if norm is None else norm(x_nE)
    if drops(layer.dropout1):
        return x_nE + layer.dropout1(attend.pieces(normed_nE, None, tokens.shapes, scalings))
    return attend.pieces(normed_nE, x_nE, tokens.shapes, scalings)


def drops(dropout: nn.Module) -> bool:
    """Whether a dropout is in force."""
    return dropout.training and cast(nn.Dropout, dropout).p > 0


def add_feedforward(
    layer: LayerParameters,
    residual_nE: Tensor,
    tokens: Tokens,
    sizes: PieceSizes,
    n_positions: int | None = None,
) -> Tensor:
    """Return residual + feed-forward part of the tokens, [n, E]; see `experts.mix`."""
    block = layer.feedforward
    if isinstance(block, MixtureParameters) and torch.is_grad_enabled() and not drops(layer.dropout2):
        (y_nE,) = experts.mix(block, tokens.x_nE, tokens.n_rows, sizes, n_positions, residual_nE)
        return y_nE
    return add_up(residual_nE, layer.dropout2, feedforward(block, tokens, sizes, n_positions))


def feedforward(
    block: nn.Module, tokens: Tokens, sizes: PieceSizes, n_positions: int | None = None
) -> Iterator[Tensor]:
    """The feed-forward part of a layer, [n, E] in parts; see `experts.mix`."""
    if isinstance(block, MixtureParameters):
        yield from experts.mix(block, tokens.x_nE, tokens.n_rows, sizes, n_positions)
    elif isinstance(block, nn.Sequential):
        yield block(tokens.x_nE)
    else:
        for x_BTE in tokens.pieces():
            yield block(x_BTE.transpose(0, 1)).transpose(0, 1).flatten(0, 1)


def feedforward_last(block: nn.Module, x_BE: Tensor, n_positions: int, sizes: PieceSizes) -> Tensor:
    """The feed-forward part for the last token alone, [B, E] → [B, E].

    A mixture draws its random numbers for every position, as if all were computed.
    """
    if isinstance(block, MixtureParameters):
        return _whole(experts.mix(block, x_BE, len(x_BE), sizes, n_positions))
    if isinstance(block, nn.Sequential):
        return block(x_BE)
    return block(x_BE[None])[0]


def post_norm_layer(
    layer: LayerParameters,
    tokens: Tokens,
    scalings: list[Scaling],
    sizes: PieceSizes,
    n_positions: int | None = None,
) -> Tokens:
    """One layer of order attention, every token; a mixture draws its random numbers for `n_positions`."""
    tokens = tokens.with_values(layer.layer_norm1(add_attention(layer, tokens, scalings)))
    added_nE = add_feedforward(layer, tokens.x_nE, tokens, sizes, n_positions)
    return tokens.with_values(layer.layer_norm2(added_nE))


def post_norm_layer_last(
    layer: LayerParameters,
    tokens: Tokens,
    scalings: list[Scaling],
    back: Tensor,
    n_positions: int,
    sizes: PieceSizes,
) -> Tensor:
    """One layer of order attention, the last token of every row only, [B, E].

    Args:
        layer: the layer.
        tokens: of the whole batch.
        scalings: of every piece.
        back: where each row of the batch lies in the pieces, int64 [B].
        n_positions: positions a mixture draws random numbers for.
        sizes: of the parts a mixture works on.
    """
    attended = [
        x[:, -1] + layer.dropout1(attend_last(layer.multi_attn, x, scaling.last_query()))
        for x, scaling in zip(tokens.pieces(), scalings, strict=True)
    ]
    x_BE = layer.layer_norm1(torch.cat(attended).index_select(0, back))
    y_BE = feedforward_last(layer.feedforward, x_BE, n_positions, sizes)
    return layer.layer_norm2(x_BE + layer.dropout2(y_BE))


def pre_norm_layer(layer: LayerParameters, tokens: Tokens, sizes: PieceSizes) -> Tokens:
    """One layer of feature attention, every token."""
    scalings = [Scaling()] * len(tokens.shapes)
    tokens = tokens.with_values(add_attention(layer, tokens, scalings, layer.layer_norm1))
    normed = tokens.with_values(layer.layer_norm2(tokens.x_nE))
    return tokens.with_values(add_feedforward(layer, tokens.x_nE, normed, sizes))


def pre_norm_layer_last(layer: LayerParameters, tokens: Tokens, sizes: PieceSizes) -> Tensor:
    """One layer of feature attention, the last token of every row only, [B, D]."""
    attended = [
        x[:, -1] + layer.dropout1(attend_last(layer.multi_attn, layer.layer_norm1(x), Scaling()))
        for x in tokens.pieces()
    ]
    x_BD = torch.cat(attended)
    y_BD = feedforward_last(layer.feedforward, layer.layer_norm2(x_BD), tokens.shapes[0][1], sizes)
    return x_BD + layer.dropout2(y_BD)
