"""The two classifiers, what builds them from a configuration, and what loads legacy weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    Block,
    FeatureAggregation,
    FeatureAttentionModule,
    Implementation,
    MixtureOfExperts,
    OrderAttentionModule,
    plain_feedforward,
)
from tsa_model.network.forms.experts import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.forms.features import FeatureAggregationLinear, FeatureAggregationReLU
from tsa_model.network.forms.time_encoding import CosineTimeEncoding, PeriodicTimeEncoding
from tsa_model.network.inspection import inspect_network
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

    required: tuple[str, ...]

    def __init__(self, config: ModelConfig, implementation: Implementation) -> None:
        super().__init__(implementation)
        self.config = config

    def _classifier(self, dim: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(dim, CLASSIFIER_HIDDEN_DIM),
            nn.ReLU(),
            nn.Dropout(self.config.dropout),
            nn.Linear(CLASSIFIER_HIDDEN_DIM, self.config.n_classes),
        )

    def _check(self, batch: Mapping[str, Tensor]) -> None:
        required = list(self.required)
        if self.config.n_engineered_num_features:
            required.append("x_engineered")
        missing = [name for name in required if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {missing}; a {self.config.sequences} network reads {required}")

    def forward(self, batch: dict[str, Tensor], trace: Trace = SILENT) -> tuple[Tensor, Tensor]:
        """Score a batch.

        Args:
            batch: tensors named as in TSA spec, section 1.
            trace: records named intermediate tensors when given.

        Returns:
            logits [B, n_classes] and the ensemble vector they are computed from.

        Raises:
            ValueError: a tensor is missing.
        """
        self._check(batch)
        compute = getattr(self.compute, self.config.sequences)
        return compute(self, batch, trace=trace)

    def inspect(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Look inside one forward pass; see `inspection.inspect_network`."""
        return inspect_network(self, batch)

    def twin(self, implementation: Implementation, **config_changes: Any) -> Network:
        """A network over the very same parameter tensors, computed another way.

        Args:
            implementation: how the twin computes.
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

    required = ("x_cat", "x_num", "time_seq", "key_padding_mask")

    def __init__(self, config: ModelConfig, implementation: Implementation = "reference") -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.embedding = _table(config.n_embedding + 2, D, config)
        self.order_attention = _order_attention(config, self.embedding, implementation)
        self.embedding_engineered = _table(Fe + 1, D, config)
        self.feature_attention = _feature_attention(
            config, self.embedding, self.embedding_engineered, implementation
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


class DualSequenceNetwork(Network):
    """Both histories and a gate that weighs them (TSA spec, section 9).

    The legacy calls it TwoSeqMoEOrderFeatureAttentionClassifier.
    """

    required = tuple(
        f"{name}_{key}"
        for key in ("cid", "ccid")
        for name in ("x_seq_cat", "x_seq_num", "time_seq", "key_padding_mask")
    )

    def __init__(self, config: ModelConfig, implementation: Implementation = "reference") -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.gate_threshold = config.gate_threshold
        self.embedding = _table(config.n_embedding + 2, D, config)
        self.order_attention_cid = _order_attention(config, self.embedding, implementation)
        self.order_attention_ccid = _order_attention(config, self.embedding, implementation)
        self.embedding_gate = _table(config.n_embedding + 2, config.gate_embedding_dim, config)
        self.gate_emb = _order_attention(_gate_settings(config), self.embedding_gate, implementation)
        self.gate_score = nn.Sequential(
            nn.Linear(4 * config.gate_embedding_dim, config.gate_hidden_dim),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.gate_hidden_dim, 2),
        )
        self.embedding_engineered = _table(Fe + 1, D, config)
        self.feature_attention = _feature_attention(
            config, self.embedding, self.embedding_engineered, implementation
        )
        self.layer_norm = nn.LayerNorm(2 * D)
        self.clf = self._classifier(3 * D)


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


def build_network(config: ModelConfig, implementation: Implementation = "fast") -> Network:
    """Build the network a configuration describes.

    Args:
        config: sizes and choices.
        implementation: `reference` computes as the specification writes it, `fast` computes the same
            numbers faster. Both have the same parameters.

    Returns:
        The network, in training mode, with fresh weights from torch's generator.
    """
    return NETWORKS[config.sequences](config, implementation)


def load_legacy_state_dict(network: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights under the legacy's names, all of them or none.

    Args:
        network: a network from `build_network`; its dtype and device are kept.
        state_dict: legacy name → tensor or array. Shared tables appear under each of their names.

    Raises:
        ValueError: names are missing or surplus, shapes differ, or names of one shared table differ in value.
    """
    own = network.state_dict(keep_vars=True)
    given = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    problems = []
    if missing := sorted(own.keys() - given.keys()):
        problems.append(f"missing: {missing}")
    if surplus := sorted(given.keys() - own.keys()):
        problems.append(f"surplus: {surplus}")
    both = [name for name in own if name in given]
    mis_shaped = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
        for name in both
        if own[name].shape != given[name].shape
    ]
    if mis_shaped:
        problems.append(f"mis-shaped: {mis_shaped}")
    first_name: dict[int, str] = {}
    unequal = []
    for name in both:
        first = first_name.setdefault(id(own[name]), name)
        if given[first].shape == given[name].shape and not torch.equal(given[first], given[name]):
            unequal.append(f"{name} differs from {first}")
    if unequal:
        problems.append(f"one shared table with two values: {unequal}")
    if problems:
        raise ValueError("the state dict does not fit the network; " + "; ".join(problems))
    with torch.no_grad():
        for name in first_name.values():
            own[name].copy_(given[name])
