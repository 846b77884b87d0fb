"""The two classifiers, and what builds them from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.batch import Batch, network_inputs
from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    Block,
    FeatureAggregation,
    FeatureAttentionModule,
    MixtureOfExperts,
    OrderAttentionModule,
    plain_feedforward,
)
from tsa_model.network.choice import implementation_of
from tsa_model.network.forms.experts import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.forms.features import FeatureAggregationLinear, FeatureAggregationReLU
from tsa_model.network.forms.time_encoding import CosineTimeEncoding, PeriodicTimeEncoding
from tsa_model.network.implementation import Implementation, ImplementationName, Scored
from tsa_model.network.inspection import inspect_batch
from tsa_model.network.trace import SILENT, Trace
from tsa_model.settings.model import ModelConfig

TIME_ENCODERS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "periodic": PeriodicTimeEncoding,
    "cosine": CosineTimeEncoding,
}
CLASSIFIER_HIDDEN_DIM = 1024
MLP_HIDDEN_DIM = 1024
MLP_DROPOUT = 0.1


class Network(Block):
    """What both classifiers share: the tables, the feature side, the head, and the forward contract."""

    def __init__(self, config: ModelConfig, implementation: Implementation | ImplementationName) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        self.config = config

    def _classifier(self, dim: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(dim, CLASSIFIER_HIDDEN_DIM),
            nn.ReLU(),
            nn.Dropout(self.config.dropout),
            nn.Linear(CLASSIFIER_HIDDEN_DIM, self.config.n_classes),
        )

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        """What `forward` returns, of a batch that lacks nothing."""
        raise NotImplementedError

    def forward(self, batch: Batch, trace: Trace = SILENT) -> Scored:
        """Score a batch.

        Args:
            batch: tensors named as in TSA spec, section 1.
            trace: records named intermediate tensors when given.

        Returns:
            logits [B, n_classes] and the ensemble vector they are computed from.

        Raises:
            ValueError: a tensor is missing.
        """
        config = self.config
        required = network_inputs(config.sequences, config.n_engineered_num_features > 0)
        missing = [name for name in required if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {missing}; a {config.sequences} network reads {required}")
        return self._scored(batch, trace)

    def inspect(self, batch: Batch) -> dict[str, Tensor]:
        """Look inside one forward pass; see `inspection.inspect_batch`."""
        legacy, deterministic = (
            self.twin("reference", moe_eval=moe_eval).eval() for moe_eval in ("legacy", "deterministic")
        )
        return inspect_batch(batch, self.twin("reference"), legacy, deterministic)

    def twin(self, implementation: Implementation | ImplementationName, **config_changes: Any) -> Network:
        """A network over the very same parameter tensors, computed another way.

        Args:
            implementation: how the twin computes, by name or handed in.
            config_changes: fields of the configuration to change that leave every parameter's shape alone.
        """
        config = self.config.changed(**config_changes)
        with torch.device("meta"):
            twin = build_network(config, implementation)
        twin.load_state_dict(self.state_dict(keep_vars=True), assign=True)
        return twin.train(self.training)


class SingleSequenceNetwork(Network):
    """One history and the current order's features (TSA spec, section 8).

    The legacy calls it OrderFeatureAttentionClassifier.
    """

    def __init__(
        self, config: ModelConfig, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.embedding = _table(config.n_embedding + 2, D, config)
        self.order_attention = _order_attention(config, self.embedding, self.compute)
        self.embedding_engineered = _table(Fe + 1, D, config)
        self.feature_attention = _feature_attention(
            config, self.embedding, self.embedding_engineered, self.compute
        )
        self.layer_norm = nn.LayerNorm(2 * D).requires_grad_(False)  # the legacy stores it, never uses it
        self.mlp: nn.Sequential | None = None
        n_parts = 3 + int(config.use_mlp)
        if config.use_mlp:
            self.mlp = nn.Sequential(
                nn.Linear(config.n_num_features + Fe, MLP_HIDDEN_DIM),
                nn.ReLU(),
                nn.Dropout(MLP_DROPOUT),
                nn.Linear(MLP_HIDDEN_DIM, D),
            )
            self.mlp_layer_norm = nn.LayerNorm(D)
        self.clf = self._classifier(n_parts * D)

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        return self.compute.single(self, batch, trace)


class DualSequenceNetwork(Network):
    """Both histories and a gate that weighs them (TSA spec, section 9).

    The legacy calls it TwoSeqMoEOrderFeatureAttentionClassifier.
    """

    def __init__(
        self, config: ModelConfig, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.gate_threshold = config.gate_threshold
        self.embedding = _table(config.n_embedding + 2, D, config)
        self.order_attention_cid = _order_attention(config, self.embedding, self.compute)
        self.order_attention_ccid = _order_attention(config, self.embedding, self.compute)
        self.embedding_gate = _table(config.n_embedding + 2, config.gate_embedding_dim, config)
        self.gate_emb = _order_attention(_gate_settings(config), self.embedding_gate, self.compute)
        self.gate_score = nn.Sequential(
            nn.Linear(4 * config.gate_embedding_dim, config.gate_hidden_dim),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.gate_hidden_dim, 2),
        )
        self.embedding_engineered = _table(Fe + 1, D, config)
        self.feature_attention = _feature_attention(
            config, self.embedding, self.embedding_engineered, self.compute
        )
        self.layer_norm = nn.LayerNorm(2 * D)
        self.clf = self._classifier(3 * D)

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        return self.compute.dual(self, batch, trace)


def _table(n_rows: int, dim: int, config: ModelConfig) -> nn.Embedding:
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


def _order_attention(
    config: ModelConfig, embedding: nn.Embedding, implementation: Implementation
) -> OrderAttentionModule:
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


def _gate_settings(config: ModelConfig) -> ModelConfig:
    """The gate is one more order attention, with sizes of its own (TSA spec, section 9.1)."""
    return config.changed(
        num_heads=1,
        n_layers_order=config.gate_layers,
        dim_attn_feedforward=config.gate_feedforward_dim,
        use_moe=config.gate_use_moe,
        use_time_seq=config.gate_use_time_seq,
    )


def _feature_attention(
    config: ModelConfig,
    embedding: nn.Embedding,
    embedding_engineered: nn.Embedding,
    implementation: Implementation,
) -> FeatureAttentionModule:
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


NETWORKS: dict[str, Callable[..., Network]] = {
    "single": SingleSequenceNetwork,
    "dual": DualSequenceNetwork,
}


def build_network(
    config: ModelConfig, implementation: Implementation | ImplementationName = "fast"
) -> Network:
    """Build the network a configuration describes.

    Args:
        config: sizes and choices.
        implementation: `reference` computes as the specification writes it, `fast` computes the same
            numbers faster. Both have the same parameters. An `Implementation` itself is taken as it is.

    Returns:
        The network, in training mode, with fresh weights from torch's generator.
    """
    return NETWORKS[config.sequences](config, implementation)
