"""The same numbers as `reference`, faster: the same functions over the same parameters.

What is saved, all of it exact in real arithmetic: tokens are gathered per expert instead of dispatched
through one-hot tensors; projections that only meet in a product are folded; the time factor is computed once;
the last layer of a stack computes the one token that is read out; orders that are all padding are aggregated
once, and left out altogether where rows do not influence each other; feature attention embeds the current
order only; both gate calls of the dual network are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.network import blocks
from tsa_model.network.fast import aggregation, experts, layers
from tsa_model.network.fast.attention import Scaling, attention_over
from tsa_model.network.fast.layers import Tokens
from tsa_model.network.fast.padding import queueing_layers
from tsa_model.network.fast.pieces import Rows, rows_per_piece, split_by_length, split_rows
from tsa_model.network.precision import computed_in, token_dtype
from tsa_model.network.trace import SILENT, Trace

if TYPE_CHECKING:
    from tsa_model.network import networks


def feature_aggregation(block: blocks.FeatureAggregation, x: Tensor) -> Tensor:
    """[..., D, F] → [..., D, 1]; see `reference.feature_aggregation`."""
    return block.encoder(x)


def attention(
    block: blocks.TemporalMultiheadAttention,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """[T, B, E] → [T, B, E]; see `reference.attention`."""
    time_BT1 = None if time_TB1 is None else time_TB1.transpose(0, 1)
    scaling = Scaling.build(x_TBE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
    attend = attention_over(block, x_TBE.shape[0] * x_TBE.shape[1])
    return attend(x_TBE.transpose(0, 1).contiguous(), scaling).transpose(0, 1)


def mixture_of_experts(block: blocks.MixtureOfExperts, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
    """[G, N, D] → [G, N, D]; see `reference.mixture_of_experts`."""
    G, N, D = x_GND.shape
    mixed = torch.cat(list(experts.mix(block, x_GND.transpose(0, 1).reshape(-1, D), N)))
    return mixed.view(N, G, D).transpose(0, 1)


def attention_layer(
    layer: blocks.AttentionLayer,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """[T, B, E] → [T, B, E]; see `reference.attention_layer`."""
    time_BT1 = None if time_TB1 is None else time_TB1.transpose(0, 1)
    scaling = Scaling.build(x_TBE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
    tokens = Tokens.of([x_TBE.transpose(0, 1)])
    return layers.post_norm_layer(layer, tokens, [scaling]).rows().transpose(0, 1)


def attention_layer_pre_norm(
    layer: blocks.AttentionLayerPreNorm, x_TBD: Tensor, trace: Trace = SILENT
) -> Tensor:
    """[T, B, D] → [T, B, D]; see `reference.attention_layer_pre_norm`."""
    return layers.pre_norm_layer(layer, Tokens.of([x_TBD.transpose(0, 1)])).rows().transpose(0, 1)


def order_attention(
    block: blocks.OrderAttentionModule,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
    key_padding_mask_BT: Tensor,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """A history → [B, E], or [B, T, E] with `return_seq`; see `reference.order_attention`."""
    dtype = block.dummy_order.dtype
    x_mE, token_BT, blank_BL = _order_tokens(block, x_cat_BLF, x_num_BLF, time_seq_BL1)
    B, T = token_BT.shape

    def tokens_of(rows: Rows) -> Tensor:
        return functional.embedding(token_BT[rows.index, rows.start :], x_mE).to(dtype)

    *body, last = cast(list[blocks.AttentionLayer], list(block.layer_stack))
    size = rows_per_piece(T * x_mE.shape[1], block.dummy_order)
    time_BT1 = functional.pad(time_seq_BL1, (0, 0, 0, 1)) if block.use_time_seq else None
    independent = layers.rows_are_independent(block.layer_stack)
    whole = attn_mask_TT is not None or block.return_seq or trace is not SILENT
    if whole or (block.training and not independent):
        rows = split_rows(B, size, x_mE.device)
    elif independent:
        rows = split_by_length(key_padding_mask_BT, size)
    else:
        # What padding holds takes part in the routing: only padding that holds nothing is alike.
        blank_BL = blank_BL & key_padding_mask_BT[:, :-1] & (time_seq_BL1[..., 0] == 0)
        rows = split_by_length(functional.pad(blank_BL, (0, 1)), size)
    if whole or block.training or independent:
        # A row's leading padding can be left out where it can neither be read out nor crowd out another row.
        tokens = Tokens.of(tokens_of(each) for each in rows)
        _record_tokens(trace, "tokens", tokens)
        scalings = [_scaling(dtype, time_BT1, key_padding_mask_BT, attn_mask_TT, each) for each in rows]
        for i, layer in enumerate(body):
            tokens = layers.post_norm_layer(layer, tokens, scalings)
            _record_tokens(trace, f"layer_stack.{i}.output", tokens)
    else:
        # Of a row's leading padding one token comes along: the first of its states.
        tokens = Tokens.of(tokens_of(Rows(each.index, max(each.start - 1, 0))) for each in rows)
        whole_rows = [Rows(each.index) for each in rows]
        scalings = [_scaling(dtype, time_BT1, key_padding_mask_BT, None, each) for each in whole_rows]
        tokens = queueing_layers(body, tokens, T, rows, scalings)
        scalings = [scaling.of_last(n) for scaling, (_, n) in zip(scalings, tokens.shapes, strict=True)]
    if block.return_seq:
        tokens = layers.post_norm_layer(last, tokens, scalings)
        _record_tokens(trace, f"layer_stack.{len(body)}.output", tokens)
        return tokens.rows()
    back = torch.argsort(torch.cat([each.index for each in rows]))
    x_BE = layers.post_norm_layer_last(last, tokens, scalings, back, T)
    trace.record(f"layer_stack.{len(body)}.output", x_BE[None])
    return x_BE


def _scaling(
    dtype: torch.dtype,
    time_BT1: Tensor | None,
    key_padding_mask_BT: Tensor,
    attn_mask_TT: Tensor | None,
    rows: Rows,
) -> Scaling:
    part = (rows.index, slice(rows.start, None))
    time = None if time_BT1 is None else time_BT1[part]
    return Scaling.build(dtype, time, key_padding_mask_BT[part], attn_mask_TT)


def _record_tokens(trace: Trace, name: str, tokens: Tokens) -> None:
    if trace is not SILENT:  # a copy: the next layer may write into the tokens
        trace.record(name, tokens.rows().transpose(0, 1).clone())


def _order_tokens(
    block: blocks.OrderAttentionModule,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens without repetition, [m, E], which of them stands where, int64 [B, T], and blank orders [B, L].

    All orders that hold nothing are one token, and the dummy tokens of all rows another one.
    """
    B, L, _ = x_cat_BLF.shape
    dtype = token_dtype(block, x_cat_BLF.device)
    first = block.n_embedding - block.n_num_features + 1
    rows_FD = block.embedding.weight[first : first + block.n_num_features]
    x_cat_nF, x_num_nF = x_cat_BLF.flatten(0, 1), x_num_BLF.flatten(0, 1)
    filled_n = (x_cat_nF != 0).any(dim=1) | (x_num_nF != 0).any(dim=1)
    (filled,) = torch.where(filled_n)
    # One all-padding order rides at the end.
    x_cat = torch.cat([x_cat_nF.index_select(0, filled), x_cat_nF.new_zeros(1, x_cat_nF.shape[1])])
    x_num = torch.cat([x_num_nF.index_select(0, filled), x_num_nF.new_zeros(1, x_num_nF.shape[1])])
    cat_mD = aggregation.aggregate_categorical(block.feature_aggregation_cat, block.embedding, x_cat, dtype)
    num_mD = aggregation.aggregate_numerical(block.feature_aggregation_num, rows_FD, x_num, dtype)
    x_mE = computed_in(dtype, block.layer_norm_feature, torch.cat([cat_mD, num_mD], dim=1))
    token_n = torch.full_like(filled_n, len(filled), dtype=torch.long).index_copy(
        0, filled, torch.arange(len(filled), device=filled.device)
    )
    if block.time_encoder is not None:  # tells apart what is equal but for its time
        time_nE = block.time_encoder(time_seq_BL1).transpose(0, 1).flatten(0, 1)
        x_mE = functional.embedding(token_n, x_mE) + time_nE
        token_n = torch.arange(B * L, device=filled.device)
    dummy = len(x_mE)
    x_mE = computed_in(dtype, block.layer_norm, torch.cat([x_mE, block.dummy_order.view(1, -1)]))
    token_BT = functional.pad(token_n.view(B, L), (0, 1), value=dummy)
    return x_mE, token_BT, ~filled_n.view(B, L)


def feature_attention(
    block: blocks.FeatureAttentionModule,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
    trace: Trace = SILENT,
) -> Tensor:
    """The features of the current order → [B, D]; see `reference.feature_attention`."""
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
    x_BTD = block.layer_norm_engineered(torch.cat(parts, dim=1))
    n_tokens, D = x_BTD.shape[1:]
    rows = split_rows(B, rows_per_piece(n_tokens * D, x_BTD), x_BTD.device)
    shapes = tuple((len(each.index), n_tokens) for each in rows)
    tokens = Tokens(x_BTD.flatten(0, 1), shapes)
    del x_BTD
    _record_tokens(trace, "tokens", tokens)
    *body, last = cast(list[blocks.AttentionLayerPreNorm], list(block.layer_stack_feature))
    for i, layer in enumerate(body):
        tokens = layers.pre_norm_layer(layer, tokens)
        _record_tokens(trace, f"layer_stack_feature.{i}.output", tokens)
    x_BD = layers.pre_norm_layer_last(last, tokens)
    trace.record(f"layer_stack_feature.{len(body)}.output", x_BD[None])
    return x_BD


def single(
    network: networks.SingleSequenceNetwork, batch: dict[str, Tensor], trace: Trace = SILENT
) -> tuple[Tensor, Tensor]:
    """One history and the current order's features; see `reference.single`."""
    x_cat, x_num, x_engineered = batch["x_cat"], batch["x_num"], batch.get("x_engineered")
    with trace.scope("order_attention"):
        order_BE = network.order_attention(
            x_cat, x_num, batch["time_seq"], batch["key_padding_mask"], batch.get("attn_mask"), trace=trace
        )
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(x_cat, x_num, x_engineered, trace=trace)
    parts = [order_BE, feature_BD]
    if network.mlp is not None:
        current = x_num[:, -1]
        if x_engineered is not None:
            current = torch.cat([current, x_engineered], dim=-1)
        parts.append(network.mlp_layer_norm(network.mlp(current)))
    ensemble = torch.cat(parts, dim=-1)
    return network.clf(ensemble), ensemble


def dual(
    network: networks.DualSequenceNetwork, batch: dict[str, Tensor], trace: Trace = SILENT
) -> tuple[Tensor, Tensor]:
    """Both histories, weighed by a learned gate; see `reference.dual`."""
    names = ("x_seq_cat", "x_seq_num", "time_seq", "key_padding_mask")
    cid = [batch[f"{name}_cid"] for name in names]
    ccid = [batch[f"{name}_ccid"] for name in names]
    attn_mask = batch.get("attn_mask")

    embeddings = _gate_embeddings(network.gate_emb, cid, ccid, attn_mask)
    raw_B2 = torch.softmax(network.gate_score(torch.cat(embeddings, dim=-1)), dim=-1)
    n_padded_B = ccid[3].sum(dim=1)
    has_card_history_B = n_padded_B != ccid[3].shape[1] - 2
    gate_B2 = torch.stack([raw_B2[:, 0], raw_B2[:, 1] * has_card_history_B], dim=1)
    trace.record("gate_scores_raw", raw_B2)
    trace.record("gate_scores", gate_B2)

    with trace.scope("order_attention_cid"):
        order_BE = gate_B2[:, :1] * network.order_attention_cid(*cid, attn_mask, trace=trace)
    (with_card,) = torch.where(gate_B2[:, 1] > network.gate_threshold)
    with trace.scope("order_attention_ccid"):
        card = network.order_attention_ccid(
            *(x.index_select(0, with_card) for x in ccid), attn_mask, trace=trace
        )
    order_BE = order_BE.index_add(0, with_card, gate_B2[with_card, 1:] * card)
    combined_BE = network.layer_norm(order_BE)
    trace.record("combined", combined_BE)
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(cid[0], cid[1], batch.get("x_engineered"), trace=trace)
    ensemble = torch.cat([combined_BE, feature_BD], dim=-1)
    return network.clf(ensemble), ensemble


def _gate_embeddings(
    gate: blocks.OrderAttentionModule, cid: list[Tensor], ccid: list[Tensor], attn_mask_TT: Tensor | None
) -> tuple[Tensor, ...]:
    """The gate's reading of both histories, in one call where rows of a batch do not influence each other."""
    if not layers.rows_are_independent(gate.layer_stack):
        return gate(*cid, attn_mask_TT), gate(*ccid, attn_mask_TT)
    both = (torch.cat(pair) for pair in zip(cid, ccid, strict=True))
    return gate(*both, attn_mask_TT).chunk(2)
