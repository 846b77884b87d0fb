"""The TSA network as the specification writes it: the plain computation everything else is measured by.

Each function takes the block that owns the parameters (see `blocks.py`) and tensors. `fast/` has the same
functions; the two share no helper but the choice of precision and the names of a batch's tensors.

Shape letters, here and in the whole package:
    B batch            L orders of a history        T = L + 1 tokens (the dummy token is the last)
    D table width      E = 2·D order width          F features (Fc categorical, Fn numerical, Fe engineered)
    H heads            G groups of a mixture        N tokens of a group    X experts    C capacity
Masks: True = ignore (key_padding_mask), True = may not attend (attn_mask).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.batch import ATTN_MASK, ENGINEERED, Batch, histories
from tsa_model.network.heads import add_boosted_trees, add_wide_head, mean_of_members
from tsa_model.network.implementation import Implementation
from tsa_model.network.parameters import (
    AggregationParameters,
    AttentionParameters,
    DualSequenceParameters,
    FeatureAttentionParameters,
    LayerParameters,
    MixtureParameters,
    OrderAttentionParameters,
    SingleSequenceParameters,
)
from tsa_model.network.precision import computed_in, token_dtype
from tsa_model.network.trace import SILENT, Trace

TIME_SCALE_S = 1e6
"""Seconds that divide the time difference in the attention logit (TSA spec, section 5)."""


def numerical_rows(n_embedding: int, n_num_features: int, device: torch.device) -> Tensor:
    """Rows of the embedding table that belong to the numerical features, [Fn] (TSA spec, section 2)."""
    first = n_embedding - n_num_features + 1
    return torch.arange(first, first + n_num_features, device=device)


def feature_aggregation(block: AggregationParameters, x_BLDF: Tensor) -> Tensor:
    """[..., D, F] → [..., D, 1] by one MLP along the feature axis (TSA spec, section 3)."""
    return block.encoder(x_BLDF)


def attention(
    block: AttentionParameters,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """Multi-head self-attention whose logits are scaled by exp((t_i - t_j) / 10^6) (TSA spec, section 5).

    `time_TB1` None gives plain multi-head attention.
    """
    T, B, E = x_TBE.shape
    H = block.num_heads
    q, k, v = functional.linear(x_TBE, block.in_proj_weight, block.in_proj_bias).chunk(3, dim=-1)
    q = q * (E // H) ** -0.5
    q, k, v = (y.reshape(T, B, H, E // H).permute(1, 2, 0, 3) for y in (q, k, v))  # [B, H, T, d]
    logits_BHTT = q @ k.transpose(-2, -1)
    if attn_mask_TT is not None:
        if attn_mask_TT.dtype == torch.bool:
            logits_BHTT = logits_BHTT.masked_fill(attn_mask_TT, float("-inf"))
        else:
            logits_BHTT = logits_BHTT + attn_mask_TT
    if key_padding_mask_BT is not None:
        logits_BHTT = logits_BHTT.masked_fill(key_padding_mask_BT[:, None, None, :], float("-inf"))
    if time_TB1 is not None:
        time_BT1 = time_TB1.transpose(0, 1)
        delta_BTT = (time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S
        logits_BHTT = logits_BHTT * torch.exp(delta_BTT)[:, None]
    weights_BHTT = torch.softmax(logits_BHTT, dim=-1)
    trace.record("attention_weights", weights_BHTT)
    weights_BHTT = functional.dropout(weights_BHTT, block.dropout, block.training)
    y_TBE = (weights_BHTT @ v).permute(2, 0, 1, 3).reshape(T, B, E)
    return block.out_proj(y_TBE)


def mixture_of_experts(block: MixtureParameters, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
    """Top-2 mixture of experts with capacity, dispatched through one-hot tensors (TSA spec, section 6).

    Each group is one sequence position and its tokens are the rows of the batch: unless `block.unlimited`,
    a row's result depends on the other rows.
    """
    G, N, _ = x_GND.shape
    X = block.num_experts
    gates_GNX = torch.softmax(x_GND @ block.gate.w_gating, dim=-1)
    first_GN = gates_GNX.argmax(dim=-1)
    first_GNX = functional.one_hot(first_GN, X).to(gates_GNX)
    others_GNX = gates_GNX * (1.0 - first_GNX)
    second_GN = others_GNX.argmax(dim=-1)
    second_GNX = functional.one_hot(second_GN, X).to(gates_GNX)
    g1_GN = (gates_GNX * first_GNX).sum(-1)
    g2_GN = (others_GNX * second_GNX).sum(-1)
    total_GN = g1_GN + g2_GN + 1e-9
    g1_GN, g2_GN = g1_GN / total_GN, g2_GN / total_GN

    policy = block.second_policy
    if policy == "none":
        second_GNX = torch.zeros_like(second_GNX)
    elif policy == "random":
        draws_GN = torch.zeros_like(g2_GN).uniform_(0.0, 1.0)
        second_GNX = second_GNX * (draws_GN < g2_GN / 0.2)[..., None]
    elif policy == "threshold":
        second_GNX = second_GNX * (g2_GN > 0.2)[..., None]
    if block.unlimited:
        # Where all other gates are 0, the second choice is the first one again: it takes no other row's slot.
        second_GNX = second_GNX * (g2_GN > 0)[..., None]
    capacity = block.capacity(N)
    slot1_GNX = (first_GNX.cumsum(dim=1) - first_GNX) * first_GNX
    first_GNX = first_GNX * (slot1_GNX < capacity)
    accepted_G1X = first_GNX.sum(dim=1, keepdim=True)
    slot2_GNX = (second_GNX.cumsum(dim=1) - second_GNX + accepted_G1X) * second_GNX
    second_GNX = second_GNX * (slot2_GNX < capacity)
    trace.record("expert_load", torch.stack([first_GNX.sum((0, 1)), second_GNX.sum((0, 1))]))
    trace.record("routing", torch.stack([first_GNX, second_GNX]))

    combine_GNXC = torch.zeros(G, N, X, capacity, dtype=x_GND.dtype, device=x_GND.device)
    for gate_GN, kept_GNX, slot_GNX in ((g1_GN, first_GNX, slot1_GNX), (g2_GN, second_GNX, slot2_GNX)):
        slots_GNC = functional.one_hot((slot_GNX * kept_GNX).sum(-1).long(), capacity).to(gates_GNX)
        combine_GNXC = combine_GNXC + (gate_GN[..., None] * kept_GNX)[..., None] * slots_GNC[:, :, None]
    dispatch_GNXC = combine_GNXC.bool().to(combine_GNXC)

    x_XGCD = torch.einsum("gnd,gnxc->xgcd", x_GND, dispatch_GNXC)
    hidden_XGCD = torch.relu(torch.einsum("xgcd,xdh->xgch", x_XGCD, block.experts.w1))
    y_XGCD = torch.einsum("xgch,xhd->xgcd", hidden_XGCD, block.experts.w2)
    return torch.einsum("xgcd,gnxc->gnd", y_XGCD, combine_GNXC)


def attention_layer(
    layer: LayerParameters,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """Post-norm layer: normalise after each residual sum (TSA spec, section 5)."""
    y_TBE = attention(layer.multi_attn, x_TBE, time_TB1, key_padding_mask_BT, attn_mask_TT, trace)
    x_TBE = layer.layer_norm1(x_TBE + layer.dropout1(y_TBE))
    x_TBE = layer.layer_norm2(x_TBE + layer.dropout2(_feedforward(layer.feedforward, x_TBE, trace)))
    trace.record("output", x_TBE)
    return x_TBE


def attention_layer_pre_norm(layer: LayerParameters, x_TBD: Tensor, trace: Trace = SILENT) -> Tensor:
    """Pre-norm layer: normalise what goes into each block, never the residual path (TSA spec, section 5)."""
    y_TBD = attention(layer.multi_attn, layer.layer_norm1(x_TBD), trace=trace)
    x_TBD = x_TBD + layer.dropout1(y_TBD)
    y_TBD = _feedforward(layer.feedforward, layer.layer_norm2(x_TBD), trace)
    x_TBD = x_TBD + layer.dropout2(y_TBD)
    trace.record("output", x_TBD)
    return x_TBD


def _feedforward(block: torch.nn.Module, x_TBE: Tensor, trace: Trace) -> Tensor:
    # Every mixture takes a trace; the plain feed-forward block is a Sequential and does not.
    return block(x_TBE) if isinstance(block, torch.nn.Sequential) else block(x_TBE, trace=trace)


def order_attention(
    block: OrderAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    time_seq_BL1: Tensor,
    key_padding_mask_BT: Tensor,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """A history → one vector [B, E], or every position [B, T, E] with `return_seq` (TSA spec, section 4)."""
    embedding = block.embedding
    rows_F = numerical_rows(block.n_embedding, block.n_num_features, x_cat_BLF.device)
    cat_BLFD = embedding(x_cat_BLF)
    num_BLFD = embedding(rows_F) * x_num_BLF.unsqueeze(-1)
    dtype = token_dtype(block, x_cat_BLF.device)
    x_BLE = torch.cat(
        [
            computed_in(dtype, block.feature_aggregation_cat, cat_BLFD.transpose(-1, -2)).squeeze(-1),
            computed_in(dtype, block.feature_aggregation_num, num_BLFD.transpose(-1, -2)).squeeze(-1),
        ],
        dim=-1,
    )
    x_LBE = computed_in(dtype, block.layer_norm_feature, x_BLE.transpose(0, 1))
    if block.time_encoder is not None:
        x_LBE = x_LBE + block.time_encoder(time_seq_BL1)
    dummy_1BE = block.dummy_order.expand(x_LBE.shape[1], -1).unsqueeze(0)
    tokens_TBE = torch.cat([x_LBE, dummy_1BE], dim=0)
    x_TBE = computed_in(dtype, block.layer_norm, tokens_TBE).to(cat_BLFD.dtype)
    trace.record("tokens", x_TBE)
    time_TB1 = functional.pad(time_seq_BL1, (0, 0, 0, 1)).transpose(0, 1) if block.use_time_seq else None
    for i, layer in enumerate(block.layer_stack):
        with trace.scope(f"layer_stack.{i}"):
            x_TBE = layer(x_TBE, time_TB1, key_padding_mask_BT, attn_mask_TT, trace=trace)
    return x_TBE.transpose(0, 1) if block.return_seq else x_TBE[-1]


def feature_attention(
    block: FeatureAttentionParameters,
    x_cat_BLF: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
    trace: Trace = SILENT,
) -> Tensor:
    """The features of the current order (the last row) → one vector [B, D] (TSA spec, section 7)."""
    rows_F = numerical_rows(block.n_embedding, block.n_num_features, x_cat_BLF.device)
    cat_BLFD = block.embedding(x_cat_BLF)
    num_BLFD = block.embedding(rows_F) * x_num_BLF.unsqueeze(-1)
    tokens_BFD = torch.cat([cat_BLFD, num_BLFD], dim=2)[:, -1]
    if block.emb_tbl_bias is not None:
        tokens_BFD = tokens_BFD + block.emb_tbl_bias
    parts = [tokens_BFD]
    if block.n_engineered > 0:
        assert x_engineered_BF is not None
        rows_F = torch.arange(1, block.n_engineered + 1, device=x_cat_BLF.device)
        engineered_BFD = block.embedding_engineered(rows_F) * x_engineered_BF.unsqueeze(-1)
        if block.engineered_emb_tbl_bias is not None:
            engineered_BFD = engineered_BFD + block.engineered_emb_tbl_bias
        parts.append(engineered_BFD)
    readout_B1 = torch.zeros(len(tokens_BFD), 1, dtype=torch.long, device=x_cat_BLF.device)
    parts.append(block.embedding_engineered(readout_B1))
    x_TBD = block.layer_norm_engineered(torch.cat(parts, dim=1).transpose(0, 1))
    trace.record("tokens", x_TBD)
    for i, layer in enumerate(block.layer_stack_feature):
        with trace.scope(f"layer_stack_feature.{i}"):
            x_TBD = layer(x_TBD, trace=trace)
    return x_TBD[-1]


def single(network: SingleSequenceParameters, batch: Batch, trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
    """One history and the current order → (logits [B, classes], ensemble) (TSA spec, section 8)."""
    (history,) = histories(batch, "single")
    x_engineered = batch.get(ENGINEERED)
    with trace.scope("order_attention"):
        order_BE = network.order_attention(*history, batch.get(ATTN_MASK), trace=trace)
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(history.cat, history.num, x_engineered, trace=trace)
    parts = [order_BE, feature_BD]
    if network.mlp is not None:
        current = [history.num[:, -1]]
        if x_engineered is not None:
            current.append(x_engineered)
        parts.append(network.mlp_layer_norm(network.mlp(torch.cat(current, dim=-1))))
    ensemble = torch.cat(parts, dim=-1)
    logits = add_wide_head(network, network.clf(ensemble), history.num, x_engineered)
    return add_boosted_trees(network, logits, history, batch), ensemble


def dual(network: DualSequenceParameters, batch: Batch, trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
    """Both histories, weighed by a learned gate → (logits [B, classes], ensemble) (TSA spec, section 9)."""
    cid, ccid = histories(batch, "dual")
    attn_mask = batch.get(ATTN_MASK)

    embeddings = []
    for key, sequence in (("cid", cid), ("ccid", ccid)):
        with trace.scope(f"gate_emb.{key}"):
            embeddings.append(network.gate_emb(*sequence, attn_mask, trace=trace))
    raw_B2 = torch.softmax(network.gate_score(torch.cat(embeddings, dim=-1)), dim=-1)
    trace.record("gate_scores_raw", raw_B2)
    mask_BT = ccid.mask
    no_card_history_B = mask_BT.sum(dim=1) == mask_BT.shape[1] - 2  # L - 1 of the L + 1 columns are padding
    gate_cid_B = raw_B2[:, 0]
    gate_ccid_B = raw_B2[:, 1].masked_fill(no_card_history_B, 0.0)
    trace.record("gate_scores", torch.stack([gate_cid_B, gate_ccid_B], dim=1))

    with trace.scope("order_attention_cid"):
        cid_BE = network.order_attention_cid(*cid, attn_mask, trace=trace)
    (with_card,) = torch.where(gate_ccid_B > network.gate_threshold)
    with trace.scope("order_attention_ccid"):
        card = network.order_attention_ccid(*(x[with_card] for x in ccid), attn_mask, trace=trace)
    ccid_BE = torch.zeros_like(cid_BE).index_copy(0, with_card, card)
    combined_BE = network.layer_norm(gate_cid_B[:, None] * cid_BE + gate_ccid_B[:, None] * ccid_BE)
    trace.record("combined", combined_BE)
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(cid.cat, cid.num, batch.get(ENGINEERED), trace=trace)
    ensemble = torch.cat([combined_BE, feature_BD], dim=-1)
    logits = add_wide_head(network, network.clf(ensemble), cid.num, batch.get(ENGINEERED))
    return add_boosted_trees(network, logits, cid, batch), ensemble


REFERENCE = Implementation(
    name="reference",
    feature_aggregation=feature_aggregation,
    mixture_of_experts=mixture_of_experts,
    attention=attention,
    attention_layer=attention_layer,
    attention_layer_pre_norm=attention_layer_pre_norm,
    order_attention=order_attention,
    feature_attention=feature_attention,
    single=single,
    dual=dual,
    mean_of_members=mean_of_members,
)
