"""Order attention and feature attention over a whole batch: nothing is looked up before it is computed."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.network.fast.aggregation import aggregate_categorical, aggregate_numerical
from tsa_model.network.fast.attention import Scaling
from tsa_model.network.fast.feature_attention import feature_tokens
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.parameters import (
    FeatureAttentionParameters,
    LayerParameters,
    OrderAttentionParameters,
)
from tsa_model.network.precision import computed_in, token_dtype
from tsa_model.network.static import layers
from tsa_model.network.trace import SILENT, Trace

SIZES = PieceSizes(aggregation_elements=1 << 26)
"""Of the feature aggregation, whose activations are made again in the backward pass: 256 MiB in float32."""


def order_attention(
    block: OrderAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
    key_padding_mask_BT: Tensor,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
    n_present: Tensor | None = None,
) -> Tensor:
    """A history → [B, E], or [B, T, E] with `return_seq`; see `reference.order_attention`.

    `n_present`, int64 [], says how many of the rows, the first ones, are there for the others; the rest takes
    no slots of experts, and its results mean nothing. None = all rows.
    """
    x_BTE = _order_tokens(block, x_cat_BLF, x_num_BLF, time_seq_BL1)
    trace.record("tokens", x_BTE.transpose(0, 1))
    time_BT1 = functional.pad(time_seq_BL1, (0, 0, 0, 1)) if block.use_time_seq else None
    scaling = Scaling.build(x_BTE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
    *body, last = cast(list[LayerParameters], list(block.layer_stack))
    for i, layer in enumerate(body):
        x_BTE = layers.post_norm_layer(layer, x_BTE, scaling, n_present)
        trace.record(f"layer_stack.{i}.output", x_BTE.transpose(0, 1))
    if block.return_seq:
        x_BTE = layers.post_norm_layer(last, x_BTE, scaling, n_present)
        trace.record(f"layer_stack.{len(body)}.output", x_BTE.transpose(0, 1))
        return x_BTE
    x_BE = layers.post_norm_layer_last(last, x_BTE, scaling, n_present)
    trace.record(f"layer_stack.{len(body)}.output", x_BE[None])
    return x_BE


def _order_tokens(
    block: OrderAttentionParameters, x_cat_BLF: Tensor, x_num_BLF: Tensor, time_seq_BL1: Tensor
) -> Tensor:
    """The token of every order and the dummy token, [B, T, E]."""
    B, L, _ = x_cat_BLF.shape
    dtype = token_dtype(block, x_cat_BLF.device)
    first = block.n_embedding - block.n_num_features + 1
    rows_FD = block.embedding.weight[first : first + block.n_num_features]
    x_cat_nF, x_num_nF = x_cat_BLF.flatten(0, 1), x_num_BLF.flatten(0, 1)
    cat_nD = aggregate_categorical(block.feature_aggregation_cat, block.embedding, x_cat_nF, SIZES, dtype)
    num_nD = aggregate_numerical(block.feature_aggregation_num, rows_FD, x_num_nF, SIZES, dtype)
    x_nE = computed_in(dtype, block.layer_norm_feature, torch.cat([cat_nD, num_nD], dim=1))
    x_BLE = x_nE.view(B, L, x_nE.shape[1])
    if block.time_encoder is not None:
        x_BLE = x_BLE + block.time_encoder(time_seq_BL1).transpose(0, 1)
    x_BTE = torch.cat([x_BLE, block.dummy_order.to(x_BLE.dtype).expand(B, 1, -1)], dim=1)
    return computed_in(dtype, block.layer_norm, x_BTE).to(block.dummy_order.dtype)


def feature_attention(
    block: FeatureAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
    trace: Trace = SILENT,
) -> Tensor:
    """The features of the current order → [B, D]; see `reference.feature_attention`."""
    x_BTD = feature_tokens(block, x_cat_BLF, x_num_BLF, x_engineered_BF)
    trace.record("tokens", x_BTD.transpose(0, 1))
    *body, last = cast(list[LayerParameters], list(block.layer_stack_feature))
    for i, layer in enumerate(body):
        x_BTD = layers.pre_norm_layer(layer, x_BTD)
        trace.record(f"layer_stack_feature.{i}.output", x_BTD.transpose(0, 1))
    x_BD = layers.pre_norm_layer_last(last, x_BTD)
    trace.record(f"layer_stack_feature.{len(body)}.output", x_BD[None])
    return x_BD
