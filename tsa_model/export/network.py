"""The network in the form that is exported: same parameters, same numbers, no data-dependent control flow.

It computes what the deterministic mixture of experts computes (every token keeps both experts, no capacity
limit, TSA spec, section 6): every expert sees every token and is weighed by zero where it was not chosen.
Shape letters as in `tsa_model.network.reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.config import ModelConfig
from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    FeatureAggregation,
    FeatureAttentionModule,
    MixtureOfExperts,
    OrderAttentionModule,
    TemporalMultiheadAttention,
)
from tsa_model.network.networks import DualSequenceNetwork, Network, SingleSequenceNetwork

TIME_SCALE_S = 1e6


def input_names(config: ModelConfig) -> list[str]:
    """Names of the inputs in the order the exported network takes them (TSA spec, section 1)."""
    if config.sequences == "single":
        names = ["x_cat", "x_num", "time_seq", "key_padding_mask"]
    else:
        fields = ("x_seq_cat", "x_seq_num", "time_seq", "key_padding_mask")
        names = [f"{field}_{key}" for key in ("cid", "ccid") for field in fields]
    return names + (["x_engineered"] if config.n_engineered_num_features else [])


def output_names(config: ModelConfig) -> list[str]:
    """Names of the outputs in the order the exported network returns them."""
    return ["logits", "score", "ensemble"] + (["gate_scores"] if config.sequences == "dual" else [])


class ExportNetwork(nn.Module):
    """A network's parameters with positional inputs and outputs; see `input_names` and `output_names`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.config.n_classes != 2:
            raise ValueError(f"n_classes={network.config.n_classes}: a fraud score needs exactly two classes")
        self.network = network.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of `output_names` from the inputs of `input_names`."""
        network = self.network
        n_histories = 4 * (1 if isinstance(network, SingleSequenceNetwork) else 2)
        x_engineered = inputs[n_histories] if len(inputs) > n_histories else None
        extra: tuple[Tensor, ...] = ()
        if isinstance(network, SingleSequenceNetwork):
            ensemble = _single(network, inputs[:4], x_engineered)
        else:
            assert isinstance(network, DualSequenceNetwork)
            ensemble, gate_B2 = _dual(network, inputs[:4], inputs[4:8], x_engineered)
            extra = (gate_B2,)
        logits = network.clf(ensemble)
        return (logits, torch.softmax(logits, dim=-1)[:, 1], ensemble, *extra)


def _single(
    network: SingleSequenceNetwork, history: tuple[Tensor, ...], x_engineered: Tensor | None
) -> Tensor:
    parts = [
        _order_attention(network.order_attention, *history),
        _feature_attention(network.feature_attention, history[0], history[1], x_engineered),
    ]
    if network.mlp is not None:
        current = [history[1][:, -1]] + ([] if x_engineered is None else [x_engineered])
        parts.append(network.mlp_layer_norm(network.mlp(torch.cat(current, dim=-1))))
    return torch.cat(parts, dim=-1)


def _dual(
    network: DualSequenceNetwork,
    cid: tuple[Tensor, ...],
    ccid: tuple[Tensor, ...],
    x_engineered: Tensor | None,
) -> tuple[Tensor, Tensor]:
    gate_inputs = torch.cat(
        [_order_attention(network.gate_emb, *cid), _order_attention(network.gate_emb, *ccid)], dim=-1
    )
    raw_B2 = torch.softmax(network.gate_score(gate_inputs), dim=-1)
    mask_BT = ccid[3]
    # L - 1 of the L + 1 columns are padding: the current order stands alone.
    no_card_history_B1 = mask_BT.sum(dim=1, keepdim=True) == mask_BT.shape[1] - 2
    gate_cid_B1 = raw_B2[:, :1]
    gate_ccid_B1 = torch.where(no_card_history_B1, 0.0, raw_B2[:, 1:])
    cid_BE = _order_attention(network.order_attention_cid, *cid)
    ccid_BE = _order_attention(network.order_attention_ccid, *ccid)
    ccid_BE = torch.where(gate_ccid_B1 > network.gate_threshold, ccid_BE, 0.0)
    combined_BE = network.layer_norm(gate_cid_B1 * cid_BE + gate_ccid_B1 * ccid_BE)
    feature_BD = _feature_attention(network.feature_attention, cid[0], cid[1], x_engineered)
    return torch.cat([combined_BE, feature_BD], dim=-1), torch.cat([gate_cid_B1, gate_ccid_B1], dim=-1)


def _numerical_rows(table: nn.Embedding, n_num_features: int) -> Tensor:
    last = table.num_embeddings - 2
    return table.weight[last - n_num_features + 1 : last + 1]


def _aggregate(block: FeatureAggregation, x_BLFD: Tensor) -> Tensor:
    """[B, L, F, D] → [B, L, D]: weights multiply from the left, so nothing is transposed."""
    for layer in block.encoder:
        if isinstance(layer, nn.Linear):
            x_BLFD = layer.weight @ x_BLFD + layer.bias[:, None]
        else:
            x_BLFD = layer(x_BLFD)
    return x_BLFD.squeeze(-2)


def _order_attention(
    block: OrderAttentionModule, x_cat_BLF: Tensor, x_num_BLF: Tensor, time_BL1: Tensor, mask_BT: Tensor
) -> Tensor:
    """A history → [B, E]. The last layer computes the dummy token only, which is all that is read."""
    if block.time_encoder is not None or block.return_seq:
        raise ValueError("export covers the production form only: no time encoder, no return_seq")
    num_BLFD = _numerical_rows(block.embedding, block.n_num_features) * x_num_BLF.unsqueeze(-1)
    orders_BLE = torch.cat(
        [
            _aggregate(block.feature_aggregation_cat, block.embedding(x_cat_BLF)),
            _aggregate(block.feature_aggregation_num, num_BLFD),
        ],
        dim=-1,
    )
    dummy_B1E = block.dummy_order.expand(x_cat_BLF.shape[0], 1, -1)
    x_BTE = block.layer_norm(torch.cat([block.layer_norm_feature(orders_BLE), dummy_B1E], dim=1))
    time_BT1 = functional.pad(time_BL1, (0, 0, 0, 1)) / TIME_SCALE_S if block.use_time_seq else None
    for i, layer in enumerate(block.layer_stack):
        assert isinstance(layer, AttentionLayer)
        x_BTE = _post_norm_layer(layer, x_BTE, time_BT1, mask_BT, i == len(block.layer_stack) - 1)
    return x_BTE[:, -1]


def _feature_attention(
    block: FeatureAttentionModule, x_cat_BLF: Tensor, x_num_BLF: Tensor, x_engineered_BF: Tensor | None
) -> Tensor:
    """The features of the current order → [B, D]."""
    num_BFD = _numerical_rows(block.embedding, block.n_num_features) * x_num_BLF[:, -1].unsqueeze(-1)
    tokens_BFD = torch.cat([block.embedding(x_cat_BLF[:, -1]), num_BFD], dim=1)
    if block.emb_tbl_bias is not None:
        tokens_BFD = tokens_BFD + block.emb_tbl_bias
    parts = [tokens_BFD]
    if x_engineered_BF is not None:
        engineered_BFD = block.embedding_engineered.weight[1:] * x_engineered_BF.unsqueeze(-1)
        if block.engineered_emb_tbl_bias is not None:
            engineered_BFD = engineered_BFD + block.engineered_emb_tbl_bias
        parts.append(engineered_BFD)
    parts.append(block.embedding_engineered.weight[:1].expand(x_cat_BLF.shape[0], 1, -1))
    x_BTD = block.layer_norm_engineered(torch.cat(parts, dim=1))
    for i, layer in enumerate(block.layer_stack_feature):
        assert isinstance(layer, AttentionLayerPreNorm)
        x_BTD = _pre_norm_layer(layer, x_BTD, i == len(block.layer_stack_feature) - 1)
    return x_BTD[:, -1]


def _post_norm_layer(
    layer: AttentionLayer, x_BTE: Tensor, time_BT1: Tensor | None, mask_BT: Tensor, last_only: bool
) -> Tensor:
    attended = _attention(layer.multi_attn, x_BTE, time_BT1, mask_BT, last_only)
    x_BTE = layer.layer_norm1((x_BTE[:, -1:] if last_only else x_BTE) + attended)
    return layer.layer_norm2(x_BTE + _feedforward(layer.feedforward, x_BTE))


def _pre_norm_layer(layer: AttentionLayerPreNorm, x_BTD: Tensor, last_only: bool) -> Tensor:
    attended = _attention(layer.multi_attn, layer.layer_norm1(x_BTD), None, None, last_only)
    x_BTD = (x_BTD[:, -1:] if last_only else x_BTD) + attended
    return x_BTD + _feedforward(layer.feedforward, layer.layer_norm2(x_BTD))


def _attention(
    block: TemporalMultiheadAttention,
    x_BTE: Tensor,
    time_BT1: Tensor | None,
    mask_BT: Tensor | None,
    last_only: bool,
) -> Tensor:
    """Self-attention of all tokens, or of the last one alone: [B, 1 or T, E].

    The time factor exp(t_i − t_j) of a logit is carried by its query and its key (t in 10^6 s).
    """
    H, E = block.num_heads, x_BTE.shape[-1]
    d = E // H
    Wq, Wk, Wv = block.in_proj_weight.split(E)
    bq, bk, bv = block.in_proj_bias.split(E)
    query_in = x_BTE[:, -1:] if last_only else x_BTE
    q = functional.linear(query_in, Wq * d**-0.5, bq * d**-0.5)
    k = functional.linear(x_BTE, Wk, bk)
    v = functional.linear(x_BTE, Wv, bv)
    if time_BT1 is not None:
        q = q * torch.exp(time_BT1[:, -1:] if last_only else time_BT1)
        k = k * torch.exp(-time_BT1)
    q, k, v = (y.unflatten(-1, (H, d)).transpose(1, 2) for y in (q, k, v))
    logits_BHTT = q @ k.transpose(-2, -1)
    if mask_BT is not None:
        logits_BHTT = logits_BHTT.masked_fill(mask_BT[:, None, None, :], float("-inf"))
    y_BHTd = torch.softmax(logits_BHTT, dim=-1) @ v
    return block.out_proj(y_BHTd.transpose(1, 2).flatten(2))


def _feedforward(block: nn.Module, x_BTE: Tensor) -> Tensor:
    if not isinstance(block, MixtureOfExperts):
        return block(x_BTE)
    weights_BTX = routing_weights(block, x_BTE)
    w1_XEh, w2_XhE = block.experts.w1, block.experts.w2
    X, E, h = w1_XEh.shape
    hidden = torch.relu(x_BTE @ w1_XEh.permute(1, 0, 2).reshape(E, X * h))
    weighed = hidden.unflatten(-1, (X, h)) * weights_BTX.unsqueeze(-1)
    return weighed.flatten(-2) @ w2_XhE.reshape(X * h, E)


def routing_weights(block: MixtureOfExperts, x_BTE: Tensor) -> Tensor:
    """Weight of each expert for each token [B, T, X]: the two best gates, normalised; zero elsewhere."""
    gates = torch.softmax(x_BTE @ block.gate.w_gating, dim=-1)
    experts = torch.arange(block.num_experts, device=x_BTE.device)
    first = gates.argmax(dim=-1, keepdim=True) == experts
    second = torch.where(first, 0.0, gates).argmax(dim=-1, keepdim=True) == experts
    g1, g2 = (torch.where(chosen, gates, 0.0) for chosen in (first, second))
    total = (g1 + g2).sum(dim=-1, keepdim=True) + 1e-9
    return (g1 + g2) / total
