"""Attention layers, batch first, and the stacks that end in one read-out token."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling, attend, attend_last
from tsa_model.network.trace import Trace

if TYPE_CHECKING:
    from tsa_model.network import blocks


def _is_production_mixture(block: nn.Module) -> bool:
    return hasattr(block, "capacity")


def feedforward(block: nn.Module, x_BTE: Tensor) -> Tensor:
    """The feed-forward part of a layer, [B, T, E] → [B, T, E]."""
    if _is_production_mixture(block):
        return experts.mix(cast("blocks.MixtureOfExperts", block), x_BTE)
    if isinstance(block, nn.Sequential):
        return block(x_BTE)
    return block(x_BTE.transpose(0, 1)).transpose(0, 1)


def feedforward_last(block: nn.Module, x_BE: Tensor, n_positions: int) -> Tensor:
    """The feed-forward part for the last token alone, [B, E] → [B, E].

    A mixture draws its random numbers for every position, as if all were computed.
    """
    if _is_production_mixture(block):
        return experts.mix(cast("blocks.MixtureOfExperts", block), x_BE[:, None], n_positions)[:, 0]
    if isinstance(block, nn.Sequential):
        return block(x_BE)
    return block(x_BE[None])[0]


def post_norm_layer(layer: blocks.AttentionLayer, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """One layer of order attention, every token."""
    x_BTE = layer.layer_norm1(x_BTE + layer.dropout1(attend(layer.multi_attn, x_BTE, scaling)))
    return layer.layer_norm2(x_BTE + layer.dropout2(feedforward(layer.feedforward, x_BTE)))


def post_norm_layer_last(layer: blocks.AttentionLayer, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """One layer of order attention, the last token only: [B, T, E] → [B, E]."""
    y_BE = attend_last(layer.multi_attn, x_BTE, scaling.last_query())
    x_BE = layer.layer_norm1(x_BTE[:, -1] + layer.dropout1(y_BE))
    y_BE = feedforward_last(layer.feedforward, x_BE, x_BTE.shape[1])
    return layer.layer_norm2(x_BE + layer.dropout2(y_BE))


def pre_norm_layer(layer: blocks.AttentionLayerPreNorm, x_BTD: Tensor) -> Tensor:
    """One layer of feature attention, every token."""
    x_BTD = x_BTD + layer.dropout1(attend(layer.multi_attn, layer.layer_norm1(x_BTD), Scaling()))
    return x_BTD + layer.dropout2(feedforward(layer.feedforward, layer.layer_norm2(x_BTD)))


def pre_norm_layer_last(layer: blocks.AttentionLayerPreNorm, x_BTD: Tensor) -> Tensor:
    """One layer of feature attention, the last token only: [B, T, D] → [B, D]."""
    y_BD = attend_last(layer.multi_attn, layer.layer_norm1(x_BTD), Scaling())
    x_BD = x_BTD[:, -1] + layer.dropout1(y_BD)
    y_BD = feedforward_last(layer.feedforward, layer.layer_norm2(x_BD), x_BTD.shape[1])
    return x_BD + layer.dropout2(y_BD)
