"""The form for accelerators as an implementation, and the choice between it and the fast form by device."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tsa_model.batch import ATTN_MASK, ENGINEERED, Batch, History, histories
from tsa_model.network.fast.attention import Scaling
from tsa_model.network.fast.classifiers import gate_embeddings, logits_of, mean_of_members, single
from tsa_model.network.fast.form import attention, feature_aggregation
from tsa_model.network.fast.trees import with_trees
from tsa_model.network.implementation import Implementation
from tsa_model.network.parameters import DualSequenceParameters, LayerParameters, MixtureParameters
from tsa_model.network.static import experts, layers
from tsa_model.network.static.attention import feature_attention, order_attention
from tsa_model.network.trace import SILENT, Trace


def mixture_of_experts(block: MixtureParameters, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
    """[G, N, D] → [G, N, D]; see `reference.mixture_of_experts`."""
    return experts.mix(block, x_GND.transpose(0, 1)).transpose(0, 1)


def attention_layer(
    layer: LayerParameters,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """[T, B, E] → [T, B, E]; see `reference.attention_layer`."""
    time_BT1 = None if time_TB1 is None else time_TB1.transpose(0, 1)
    scaling = Scaling.build(x_TBE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
    return layers.post_norm_layer(layer, x_TBE.transpose(0, 1), scaling).transpose(0, 1)


def attention_layer_pre_norm(layer: LayerParameters, x_TBD: Tensor, trace: Trace = SILENT) -> Tensor:
    """[T, B, D] → [T, B, D]; see `reference.attention_layer_pre_norm`."""
    return layers.pre_norm_layer(layer, x_TBD.transpose(0, 1)).transpose(0, 1)


def dual(network: DualSequenceParameters, batch: Batch, trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
    """Both histories, weighed by a learned gate; see `reference.dual`.

    The card's order attention reads every row, those whose card takes part before the others: so the rows
    that meet in its mixtures are the reference's, in the reference's order.
    """
    cid, ccid = histories(batch, "dual")
    attn_mask = batch.get(ATTN_MASK)
    embeddings = gate_embeddings(network.gate_emb, cid, ccid, attn_mask)
    raw_B2 = torch.softmax(network.gate_score(torch.cat(embeddings, dim=-1)), dim=-1)
    has_card_history_B = ccid.mask.sum(dim=1) != ccid.mask.shape[1] - 2
    gate_B2 = torch.stack([raw_B2[:, 0], raw_B2[:, 1] * has_card_history_B], dim=1)
    trace.record("gate_scores_raw", raw_B2)
    trace.record("gate_scores", gate_B2)

    with trace.scope("order_attention_cid"):
        cid_BE = network.order_attention_cid(*cid, attn_mask, trace=trace)
    with_card_B = gate_B2[:, 1] > network.gate_threshold
    order_B = torch.argsort(~with_card_B, stable=True)
    compute = partial(order_attention, n_present=with_card_B.sum())
    sorted_ccid = History(*(x.index_select(0, order_B) for x in ccid))
    card_BE = network.order_attention_ccid(*sorted_ccid, attn_mask, compute=compute)
    card_BE = torch.zeros_like(card_BE).index_copy(0, order_B, card_BE)
    card_BE = card_BE.masked_fill(~with_card_B[:, None], 0.0)
    combined_BE = network.layer_norm(gate_B2[:, :1] * cid_BE + gate_B2[:, 1:] * card_BE)
    trace.record("combined", combined_BE)
    with trace.scope("feature_attention"):
        feature_BD = network.feature_attention(cid.cat, cid.num, batch.get(ENGINEERED), trace=trace)
    ensemble = torch.cat([combined_BE, feature_BD], dim=-1)
    logits = logits_of(network, ensemble, cid.num, batch.get(ENGINEERED))
    return with_trees(network, logits, cid, batch), ensemble


STATIC = Implementation(
    name="static",
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
