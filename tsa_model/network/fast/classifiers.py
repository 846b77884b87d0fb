"""The two classifiers, from histories to logits; the dual one's gate reads both histories in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsa_model.batch import ATTN_MASK, ENGINEERED, Batch, History, histories
from tsa_model.network.fast import layers
from tsa_model.network.fast.trees import with_trees
from tsa_model.network.parameters import (
    DualSequenceParameters,
    OrderAttentionParameters,
    SingleSequenceParameters,
)
from tsa_model.network.trace import SILENT, Trace
from tsa_model.settings.model import WIDE_EDGES


def single(network: SingleSequenceParameters, batch: Batch, trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
    """One history and the current order's features; see `reference.single`."""
    (history,) = histories(batch, "single")
    x_engineered = batch.get(ENGINEERED)
    with trace.scope("order_attention"):
        order_BE = network.order_attention(*history, batch.get(ATTN_MASK), trace=trace)
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(history.cat, history.num, x_engineered, trace=trace)
    parts = [order_BE, feature_BD]
    if network.mlp is not None:
        current = history.num[:, -1]
        if x_engineered is not None:
            current = torch.cat([current, x_engineered], dim=-1)
        parts.append(network.mlp_layer_norm(network.mlp(current)))
    ensemble = torch.cat(parts, dim=-1)
    logits = logits_of(network, ensemble, history.num, x_engineered)
    return with_trees(network, logits, history, batch), ensemble


def dual(network: DualSequenceParameters, batch: Batch, trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
    """Both histories, weighed by a learned gate; see `reference.dual`."""
    cid, ccid = histories(batch, "dual")
    attn_mask = batch.get(ATTN_MASK)

    embeddings = gate_embeddings(network.gate_emb, cid, ccid, attn_mask)
    raw_B2 = torch.softmax(network.gate_score(torch.cat(embeddings, dim=-1)), dim=-1)
    n_padded_B = ccid.mask.sum(dim=1)
    has_card_history_B = n_padded_B != ccid.mask.shape[1] - 2
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
        feature_BD = network.feature_attention(cid.cat, cid.num, batch.get(ENGINEERED), trace=trace)
    ensemble = torch.cat([combined_BE, feature_BD], dim=-1)
    logits = logits_of(network, ensemble, cid.num, batch.get(ENGINEERED))
    return with_trees(network, logits, cid, batch), ensemble


def logits_of(
    network: SingleSequenceParameters | DualSequenceParameters,
    ensemble: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
) -> Tensor:
    """Logits of the classifier and the wide head; see `heads.add_wide_head`."""
    logits = network.clf(ensemble)
    if network.wide is None:
        return logits
    current = x_num_BLF[:, -1]
    if x_engineered_BF is not None:
        current = torch.cat([current, x_engineered_BF], dim=-1)
    if network.wide_is_piecewise:
        current = torch.cat([current, _piecewise(current)], dim=-1)
    return network.wide(current).add(logits)


def _piecewise(x_BF: Tensor) -> Tensor:
    """All intervals at once; see `heads.piecewise`."""
    edges = x_BF.new_tensor(WIDE_EDGES)
    shares_BFK = (x_BF[:, :, None] - edges[:-1]).div_(edges.diff())
    return shares_BFK.clamp_(0.0, 1.0).flatten(1)


def mean_of_members(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B, classes] of several networks → their mean; see `reference.mean_of_members`."""
    return torch.stack(list(logits)).mean(dim=0)


def gate_embeddings(
    gate: OrderAttentionParameters,
    cid: History[Tensor],
    ccid: History[Tensor],
    attn_mask_TT: Tensor | None,
) -> tuple[Tensor, ...]:
    """The gate's reading of both histories, in one call where rows of a batch do not influence each other."""
    if not layers.rows_are_independent(gate.layer_stack):
        return gate(*cid, attn_mask_TT), gate(*ccid, attn_mask_TT)
    both = (torch.cat(pair) for pair in zip(cid, ccid, strict=True))
    return gate(*both, attn_mask_TT).chunk(2)
