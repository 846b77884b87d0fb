"""Attention layers, batch first, over a batch in pieces, and the layer that reads out one token."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tsa_model.network import blocks
from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling, attend_last, attention_over


def rows_are_independent(layers: nn.ModuleList) -> bool:
    """Whether no mixture of these layers lets one row of the batch influence another."""
    feedforwards = [cast(blocks.AttentionLayer, layer).feedforward for layer in layers]
    return all(block.unlimited for block in feedforwards if isinstance(block, blocks.MixtureOfExperts))


def add_residual(y: Tensor, x: Tensor) -> Tensor:
    """Return x + y; without gradients in the memory of `y`, which nobody else holds."""
    return x + y if y.requires_grad or y.dtype != x.dtype else y.add_(x)


def feedforward(block: nn.Module, pieces: list[Tensor]) -> list[Tensor]:
    """The feed-forward part of a layer over pieces [b, T, E]."""
    if isinstance(block, blocks.MixtureOfExperts):
        return experts.mix(block, pieces)
    if isinstance(block, nn.Sequential):
        return [block(x_BTE) for x_BTE in pieces]
    return [block(x_BTE.transpose(0, 1)).transpose(0, 1) for x_BTE in pieces]


def feedforward_last(block: nn.Module, x_BE: Tensor, n_positions: int) -> Tensor:
    """The feed-forward part for the last token alone, [B, E] → [B, E].

    A mixture draws its random numbers for every position, as if all were computed.
    """
    if isinstance(block, blocks.MixtureOfExperts):
        return experts.mix(block, [x_BE[:, None]], n_positions)[0][:, 0]
    if isinstance(block, nn.Sequential):
        return block(x_BE)
    return block(x_BE[None])[0]


def _n_tokens(pieces: list[Tensor]) -> int:
    return sum(x_BTE.shape[0] * x_BTE.shape[1] for x_BTE in pieces)


def post_norm_layer(
    layer: blocks.AttentionLayer, pieces: list[Tensor], scalings: list[Scaling]
) -> list[Tensor]:
    """One layer of order attention, every token."""
    attend = attention_over(layer.multi_attn, _n_tokens(pieces))
    pieces = [
        layer.layer_norm1(add_residual(layer.dropout1(attend(x, scaling)), x))
        for x, scaling in zip(pieces, scalings, strict=True)
    ]
    mixed = feedforward(layer.feedforward, pieces)
    return [layer.layer_norm2(add_residual(layer.dropout2(y), x)) for x, y in zip(pieces, mixed, strict=True)]


def post_norm_layer_last(
    layer: blocks.AttentionLayer,
    pieces: list[Tensor],
    scalings: list[Scaling],
    back: Tensor,
    n_positions: int,
) -> Tensor:
    """One layer of order attention, the last token only: pieces [b, T, E] → [B, E].

    Args:
        layer: the layer.
        pieces: the batch.
        scalings: of every piece.
        back: where each row of the batch lies in the concatenated pieces, int64 [B].
        n_positions: positions a mixture draws random numbers for.
    """
    attended = [
        x[:, -1] + layer.dropout1(attend_last(layer.multi_attn, x, scaling.last_query()))
        for x, scaling in zip(pieces, scalings, strict=True)
    ]
    x_BE = layer.layer_norm1(torch.cat(attended).index_select(0, back))
    y_BE = feedforward_last(layer.feedforward, x_BE, n_positions)
    return layer.layer_norm2(x_BE + layer.dropout2(y_BE))


def pre_norm_layer(layer: blocks.AttentionLayerPreNorm, pieces: list[Tensor]) -> list[Tensor]:
    """One layer of feature attention, every token."""
    attend = attention_over(layer.multi_attn, _n_tokens(pieces))
    pieces = [add_residual(layer.dropout1(attend(layer.layer_norm1(x), Scaling())), x) for x in pieces]
    mixed = feedforward(layer.feedforward, [layer.layer_norm2(x) for x in pieces])
    return [add_residual(layer.dropout2(y), x) for x, y in zip(pieces, mixed, strict=True)]


def pre_norm_layer_last(layer: blocks.AttentionLayerPreNorm, pieces: list[Tensor]) -> Tensor:
    """One layer of feature attention, the last token only: pieces [b, T, D] → [B, D]."""
    attended = [
        x[:, -1] + layer.dropout1(attend_last(layer.multi_attn, layer.layer_norm1(x), Scaling()))
        for x in pieces
    ]
    x_BD = torch.cat(attended)
    y_BD = feedforward_last(layer.feedforward, layer.layer_norm2(x_BD), pieces[0].shape[1])
    return x_BD + layer.dropout2(y_BD)
