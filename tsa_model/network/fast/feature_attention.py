"""Feature attention: only the current order is embedded, only the read-out token leaves the last layer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from tsa_model.network.fast import layers
from tsa_model.network.fast.layers import Tokens
from tsa_model.network.fast.pieces import PieceSizes, split_rows
from tsa_model.network.parameters import FeatureAttentionParameters, LayerParameters
from tsa_model.network.trace import SILENT, Trace


def feature_attention(
    block: FeatureAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
    trace: Trace = SILENT,
    *,
    sizes: PieceSizes,
) -> Tensor:
    """The features of the current order → [B, D]; see `reference.feature_attention`."""
    x_BTD = feature_tokens(block, x_cat_BLF, x_num_BLF, x_engineered_BF)
    B, n_tokens, D = x_BTD.shape
    rows = split_rows(B, sizes.rows(n_tokens * D, x_BTD), x_BTD.device)
    shapes = tuple((len(each.index), n_tokens) for each in rows)
    tokens = Tokens(x_BTD.flatten(0, 1), shapes)
    del x_BTD
    tokens.record(trace, "tokens")
    *body, last = cast(list[LayerParameters], list(block.layer_stack_feature))
    for i, layer in enumerate(body):
        tokens = layers.pre_norm_layer(layer, tokens, sizes)
        tokens.record(trace, f"layer_stack_feature.{i}.output")
    x_BD = layers.pre_norm_layer_last(last, tokens, sizes)
    trace.record(f"layer_stack_feature.{len(body)}.output", x_BD[None])
    return x_BD


def feature_tokens(
    block: FeatureAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
) -> Tensor:
    """A token for each feature of the current order and the read-out token, [B, T, D]."""
    B = len(x_cat_BLF)
    first = block.n_embedding - block.n_num_features + 1
    rows_FD = block.embedding.weight[first : first + block.n_num_features]
    categorical_BFD = block.embedding(x_cat_BLF[:, -1])
    numerical_BFD = rows_FD * x_num_BLF[:, -1, :, None]
    parts = [categorical_BFD, numerical_BFD]
    if block.emb_tbl_bias is not None:
        n_cat = x_cat_BLF.shape[2]
        parts = [categorical_BFD + block.emb_tbl_bias[:n_cat], numerical_BFD + block.emb_tbl_bias[n_cat:]]
    if block.n_engineered > 0:
        assert x_engineered_BF is not None
        engineered_BFD = block.embedding_engineered.weight[1:] * x_engineered_BF[:, :, None]
        if block.engineered_emb_tbl_bias is not None:
            engineered_BFD = engineered_BFD + block.engineered_emb_tbl_bias
        parts.append(engineered_BFD)
    readout = torch.zeros(1, dtype=torch.long, device=x_cat_BLF.device)
    parts.append(block.embedding_engineered(readout).expand(B, 1, -1))
    return block.layer_norm_engineered(torch.cat(parts, dim=1))
