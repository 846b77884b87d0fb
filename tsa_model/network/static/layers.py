"""Attention layers over a whole batch, [B, T, E], and the layer that reads out one token."""

from __future__ import annotations

from torch import Tensor, nn

from tsa_model.network.fast.attention import Scaling, attend_last, attention_over
from tsa_model.network.parameters import LayerParameters, MixtureParameters
from tsa_model.network.static import experts


def attend(layer: LayerParameters, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """Every token attends, [B, T, E] → [B, T, E]."""
    return attention_over(layer.multi_attn, x_BTE.shape[0] * x_BTE.shape[1])(x_BTE, scaling)


def drop(dropout: nn.Module, y_BTE: Tensor) -> Tensor:
    """Dropout over tokens, row after row as in the fast form: the gate knows its places by their shape."""
    return dropout(y_BTE.flatten(0, 1)).view_as(y_BTE)


def feedforward(
    block: nn.Module, x_BTE: Tensor, n_positions: int | None = None, n_present: Tensor | None = None
) -> Tensor:
    """The feed-forward part of a layer; see `experts.mix`."""
    if isinstance(block, MixtureParameters):
        return experts.mix(block, x_BTE, n_positions, n_present)
    if isinstance(block, nn.Sequential):
        return block(x_BTE.flatten(0, 1)).view_as(x_BTE)
    return block(x_BTE.transpose(0, 1)).transpose(0, 1)


def post_norm_layer(
    layer: LayerParameters, x_BTE: Tensor, scaling: Scaling, n_present: Tensor | None = None
) -> Tensor:
    """One layer of order attention, every token."""
    x_BTE = layer.layer_norm1(x_BTE + drop(layer.dropout1, attend(layer, x_BTE, scaling)))
    y_BTE = feedforward(layer.feedforward, x_BTE, n_present=n_present)
    return layer.layer_norm2(x_BTE + drop(layer.dropout2, y_BTE))


def post_norm_layer_last(
    layer: LayerParameters, x_BTE: Tensor, scaling: Scaling, n_present: Tensor | None = None
) -> Tensor:
    """One layer of order attention, the last token of every row only, [B, E]."""
    y_BE = attend_last(layer.multi_attn, x_BTE, scaling.last_query())
    x_BE = layer.layer_norm1(x_BTE[:, -1] + layer.dropout1(y_BE))
    y_BE = feedforward(layer.feedforward, x_BE[:, None], x_BTE.shape[1], n_present)[:, 0]
    return layer.layer_norm2(x_BE + layer.dropout2(y_BE))


def pre_norm_layer(layer: LayerParameters, x_BTD: Tensor) -> Tensor:
    """One layer of feature attention, every token."""
    x_BTD = x_BTD + drop(layer.dropout1, attend(layer, layer.layer_norm1(x_BTD), Scaling()))
    return x_BTD + drop(layer.dropout2, feedforward(layer.feedforward, layer.layer_norm2(x_BTD)))


def pre_norm_layer_last(layer: LayerParameters, x_BTD: Tensor) -> Tensor:
    """One layer of feature attention, the last token of every row only, [B, D]."""
    y_BD = attend_last(layer.multi_attn, layer.layer_norm1(x_BTD), Scaling())
    x_BD = x_BTD[:, -1] + layer.dropout1(y_BD)
    y_BD = feedforward(layer.feedforward, layer.layer_norm2(x_BD)[:, None], x_BTD.shape[1])[:, 0]
    return x_BD + layer.dropout2(y_BD)
