"""Order attention: a history becomes tokens once each, and layers read them piece by piece."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.network.fast import layers
from tsa_model.network.fast.aggregation import aggregate_categorical, aggregate_numerical
from tsa_model.network.fast.attention import Scaling
from tsa_model.network.fast.distinct import distinct_orders
from tsa_model.network.fast.dropout import Pieces, layers_with_dropout
from tsa_model.network.fast.layers import Tokens
from tsa_model.network.fast.padding import queueing_layers
from tsa_model.network.fast.pieces import PieceSizes, Rows, one_piece, split_by_length, split_rows
from tsa_model.network.parameters import LayerParameters, OrderAttentionParameters
from tsa_model.network.precision import computed_in, token_dtype
from tsa_model.network.trace import SILENT, Trace


def order_attention(
    block: OrderAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
    key_padding_mask_BT: Tensor,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
    *,
    sizes: PieceSizes,
) -> Tensor:
    """A history → [B, E], or [B, T, E] with `return_seq`; see `reference.order_attention`."""
    dtype = block.dummy_order.dtype
    x_mE, token_BT, blank_BL = _order_tokens(block, x_cat_BLF, x_num_BLF, time_seq_BL1, sizes)
    B, T = token_BT.shape

    def tokens_of(rows: list[Rows]) -> Tokens:
        numbers = [token_BT[each.index, each.start :] for each in rows]
        token_n = torch.cat([number.flatten() for number in numbers])
        shapes = tuple((number.shape[0], number.shape[1]) for number in numbers)
        return Tokens(functional.embedding(token_n, x_mE).to(dtype), shapes)

    *body, last = cast(list[LayerParameters], list(block.layer_stack))
    size = sizes.rows(T * x_mE.shape[1], block.dummy_order)
    time_BT1 = functional.pad(time_seq_BL1, (0, 0, 0, 1)) if block.use_time_seq else None
    independent = layers.rows_are_independent(block.layer_stack)
    whole = attn_mask_TT is not None or block.return_seq or trace is not SILENT
    dropped = layers.drop_anything(block.layer_stack)
    if dropped and not (whole or independent):
        drawn_together = [len(each.index) for each in split_rows(B, size, x_mE.device)]
        rows = split_by_length(key_padding_mask_BT, size)
        scalings = [_scaling(dtype, time_BT1, key_padding_mask_BT, None, Rows(each.index)) for each in rows]
        cut = Pieces(rows, scalings, T, drawn_together)
        token_N = token_BT.flatten()
        return layers_with_dropout(
            [*body, last],
            lambda place_n: functional.embedding(token_N.index_select(0, place_n), x_mE).to(dtype),
            cut,
            sizes,
        )
    if whole:
        rows = split_rows(B, size, x_mE.device)
    elif independent:
        rows = split_by_length(key_padding_mask_BT, size)
    elif layers.rows_never_queue(block.layer_stack, B):
        independent, rows = True, one_piece(key_padding_mask_BT)  # in order: rows have draws of their own
    else:
        # What padding holds takes part in the routing: only padding that holds nothing is alike.
        blank_BL = blank_BL & key_padding_mask_BT[:, :-1] & (time_seq_BL1[..., 0] == 0)
        rows = split_by_length(functional.pad(blank_BL, (0, 1)), size)
    if whole or dropped or independent:
        # A row's leading padding can be left out where it can neither be read out nor crowd out another row.
        tokens = tokens_of(rows)
        tokens.record(trace, "tokens")
        scalings = [_scaling(dtype, time_BT1, key_padding_mask_BT, attn_mask_TT, each) for each in rows]
        for i, layer in enumerate(body):
            tokens = layers.post_norm_layer(layer, tokens, scalings, sizes, T)
            tokens.record(trace, f"layer_stack.{i}.output")
    else:
        # Of a row's leading padding one token comes along: the first of its states.
        tokens = tokens_of([Rows(each.index, max(each.start - 1, 0)) for each in rows])
        whole_rows = [Rows(each.index) for each in rows]
        scalings = [_scaling(dtype, time_BT1, key_padding_mask_BT, None, each) for each in whole_rows]
        tokens = queueing_layers(body, tokens, T, rows, scalings, sizes)
        scalings = [scaling.of_last(n) for scaling, (_, n) in zip(scalings, tokens.shapes, strict=True)]
    if block.return_seq:
        tokens = layers.post_norm_layer(last, tokens, scalings, sizes, T)
        tokens.record(trace, f"layer_stack.{len(body)}.output")
        return tokens.rows()
    back = torch.argsort(torch.cat([each.index for each in rows]))
    x_BE = layers.post_norm_layer_last(last, tokens, scalings, back, T, sizes)
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


def _order_tokens(
    block: OrderAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
    sizes: PieceSizes,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens without repetition, [m, E], which of them stands where, int64 [B, T], and blank orders [B, L].

    Equal orders are one token, and so are all that hold nothing, and the dummy tokens of all rows.
    """
    B, L, _ = x_cat_BLF.shape
    dtype = token_dtype(block, x_cat_BLF.device)
    first = block.n_embedding - block.n_num_features + 1
    rows_FD = block.embedding.weight[first : first + block.n_num_features]
    x_cat_nF, x_num_nF = x_cat_BLF.flatten(0, 1), x_num_BLF.flatten(0, 1)
    filled_n = (x_cat_nF != 0).any(dim=1) | (x_num_nF != 0).any(dim=1)
    (filled,) = torch.where(filled_n)
    x_cat, x_num = x_cat_nF.index_select(0, filled), x_num_nF.index_select(0, filled)
    which = torch.arange(len(filled), device=filled.device)
    distinct = distinct_orders(x_cat, x_num)
    if distinct is not None:
        places, which = distinct
        x_cat, x_num = x_cat.index_select(0, places), x_num.index_select(0, places)
    blank = len(x_cat)  # one all-padding order rides at the end
    x_cat = torch.cat([x_cat, x_cat.new_zeros(1, x_cat.shape[1])])
    x_num = torch.cat([x_num, x_num.new_zeros(1, x_num.shape[1])])
    cat_mD = aggregate_categorical(block.feature_aggregation_cat, block.embedding, x_cat, sizes, dtype)
    num_mD = aggregate_numerical(block.feature_aggregation_num, rows_FD, x_num, sizes, dtype)
    x_mE = computed_in(dtype, block.layer_norm_feature, torch.cat([cat_mD, num_mD], dim=1))
    token_n = torch.full_like(filled_n, blank, dtype=torch.long).index_copy(0, filled, which)
    if block.time_encoder is not None:  # tells apart what is equal but for its time
        time_nE = block.time_encoder(time_seq_BL1).transpose(0, 1).flatten(0, 1)
        x_mE = functional.embedding(token_n, x_mE) + time_nE
        token_n = torch.arange(B * L, device=filled.device)
    dummy = len(x_mE)
    x_mE = computed_in(dtype, block.layer_norm, torch.cat([x_mE, block.dummy_order.view(1, -1)]))
    token_BT = functional.pad(token_n.view(B, L), (0, 1), value=dummy)
    return x_mE, token_BT, ~filled_n.view(B, L)
