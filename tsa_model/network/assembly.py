"""The parts of a network, made as a configuration describes them."""

from __future__ import annotations

import torch
from torch import nn

from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    FeatureAggregation,
    FeatureAttentionModule,
    MixtureOfExperts,
    OrderAttentionModule,
    plain_feedforward,
)
from tsa_model.network.forms.experts import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.forms.features import FeatureAggregationLinear, FeatureAggregationReLU
from tsa_model.network.forms.time_encoding import CosineTimeEncoding, PeriodicTimeEncoding
from tsa_model.network.implementation import Implementation
from tsa_model.settings.model import ModelConfig

TIME_ENCODERS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "periodic": PeriodicTimeEncoding,
    "cosine": CosineTimeEncoding,
}


def make_table(n_rows: int, dim: int, config: ModelConfig) -> nn.Embedding:
    """A fresh embedding table whose row 0 is the padding."""
    table = nn.Embedding(n_rows, dim, padding_idx=0)
    with torch.no_grad():
        table.weight.mul_(config.embedding_std)
    return table


def _feedforward(
    config: ModelConfig, dim: int, hidden_dim: int, use_moe: bool, implementation: Implementation
) -> nn.Module:
    if not use_moe:
        return plain_feedforward(dim, hidden_dim, config.dropout)
    if config.moe_form == "noisy_top2":
        return NoisyTop2Experts(dim, config.num_experts)
    if config.moe_form == "dense_softmax":
        return DenseSoftmaxExperts(dim, config.num_experts, hidden_dim)
    return MixtureOfExperts(
        dim,
        config.num_experts,
        hidden_dim,
        config.moe_second_policy_train,
        config.moe_second_policy_eval,
        config.moe_eval == "deterministic",
        implementation,
    )


def make_order_attention(
    config: ModelConfig, embedding: nn.Embedding, implementation: Implementation
) -> OrderAttentionModule:
    """An order attention over a table."""
    dim = 2 * embedding.embedding_dim
    layers = [
        AttentionLayer(
            dim,
            config.num_heads,
            _feedforward(config, dim, config.dim_attn_feedforward, config.use_moe, implementation),
            config.dropout,
            implementation,
        )
        for _ in range(config.n_layers_order)
    ]
    n_features = config.n_cat_features + config.n_num_features
    time_encoder = TIME_ENCODERS[config.time_encoder]
    return OrderAttentionModule(
        embedding,
        config.n_num_features,
        layers,
        _feature_aggregation(config, config.n_cat_features, implementation),
        _feature_aggregation(config, config.n_num_features, implementation),
        bias_rows=n_features if config.emb_tbl_use_bias else 0,
        use_time_seq=config.use_time_seq,
        time_encoder=None if time_encoder is None else time_encoder(dim),
        implementation=implementation,
    )


def _feature_aggregation(config: ModelConfig, n_features: int, implementation: Implementation) -> nn.Module:
    if config.feature_aggregation == "relu_halving":
        return FeatureAggregationReLU(n_features)
    if config.feature_aggregation == "linear":
        return FeatureAggregationLinear(n_features)
    return FeatureAggregation(n_features, implementation)


def gate_settings(config: ModelConfig) -> ModelConfig:
    """The gate is one more order attention, with sizes of its own (TSA spec, section 9.1)."""
    return config.changed(
        num_heads=1,
        n_layers_order=config.gate_layers,
        dim_attn_feedforward=config.gate_feedforward_dim,
        use_moe=config.gate_use_moe,
        use_time_seq=config.gate_use_time_seq,
    )


def make_feature_attention(
    config: ModelConfig,
    embedding: nn.Embedding,
    embedding_engineered: nn.Embedding,
    implementation: Implementation,
) -> FeatureAttentionModule:
    """The feature attention over both tables."""
    dim = config.dim_embedding_table
    layers = [
        AttentionLayerPreNorm(
            dim,
            config.num_heads,
            _feedforward(config, dim, config.dim_attn_feedforward, config.use_moe, implementation),
            config.dropout,
            implementation,
        )
        for _ in range(config.n_layers_feature)
    ]
    return FeatureAttentionModule(
        embedding,
        embedding_engineered,
        config.n_cat_features,
        config.n_num_features,
        layers,
        config.emb_tbl_use_bias,
        implementation,
    )
