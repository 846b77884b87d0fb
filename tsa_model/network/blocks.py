"""The blocks that own the parameters, under the legacy's names; what they compute was handed in.

An implementation is the name of one (`choice.py`) or an `Implementation` itself.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from tsa_model.network.choice import implementation_of
from tsa_model.network.copying import copied
from tsa_model.network.implementation import Implementation, ImplementationName
from tsa_model.network.parameters import AggregationParameters, MixtureParameters, OrderAttention
from tsa_model.network.trace import SILENT, Trace


def untrained(*shape: int) -> nn.Parameter:
    """A parameter the legacy stores but never uses: loadable and saveable, never trained."""
    return nn.Parameter(torch.zeros(*shape), requires_grad=False)


def untrained_layer_norm(dim: int) -> nn.LayerNorm:
    """A layer norm the legacy stores but never uses."""
    return nn.LayerNorm(dim).requires_grad_(False)


class Block(nn.Module):
    """A part of the network whose computation was handed in; every implementation reads the same parameters.

    Attributes:
        compute: the functions this block computes with; each kind of block sets it when it is built.
    """

    compute: Implementation

    @property
    def implementation(self) -> ImplementationName:
        """Name of the implementation."""
        return self.compute.name

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copied(self, memo)


class FeatureAggregation(AggregationParameters, Block):
    """[..., D, F] → [..., D, 1]: an MLP along the feature axis (TSA spec, section 3).

    Args:
        n_features: F.
    """

    def __init__(
        self, n_features: int, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(n_features)
        self.compute = implementation_of(implementation)

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the last axis."""
        return self.compute.feature_aggregation(self, x)


class MixtureOfExperts(MixtureParameters, Block):
    """[G, N, D] → [G, N, D]: top-2 mixture of experts with capacity; arguments as in `MixtureParameters`."""

    def __init__(
        self,
        dim: int,
        num_experts: int,
        hidden_dim: int,
        second_policy_train: str = "random",
        second_policy_eval: str = "random",
        deterministic_eval: bool = False,
        implementation: Implementation | ImplementationName = "reference",
    ) -> None:
        super().__init__(
            dim, num_experts, hidden_dim, second_policy_train, second_policy_eval, deterministic_eval
        )
        self.compute = implementation_of(implementation)

    def forward(self, x: Tensor, trace: Trace = SILENT) -> Tensor:
        """Route and mix; see the class for what the rows of a batch do to each other."""
        return self.compute.mixture_of_experts(self, x, trace)


class TemporalMultiheadAttention(Block):
    """[T, B, E] → [T, B, E]: self-attention, temporal when times are given (TSA spec, section 5).

    Args:
        embed_dim: width E.
        num_heads: heads H; must divide E.
        dropout: rate on the attention weights.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int = 1,
        dropout: float = 0.0,
        implementation: Implementation | ImplementationName = "reference",
    ) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        if embed_dim % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide embed_dim={embed_dim}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        x: Tensor,
        time: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        trace: Trace = SILENT,
    ) -> Tensor:
        """Attend; `time` [T, B, 1] in seconds makes it temporal, masks are True = ignore."""
        return self.compute.attention(self, x, time, key_padding_mask, attn_mask, trace)


def plain_feedforward(dim: int, hidden_dim: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU, Dropout, Linear."""
    return nn.Sequential(
        nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, dim)
    )


class _Layer(Block):
    """The parameters both kinds of attention layer have."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        feedforward: nn.Module,
        dropout: float = 0.0,
        implementation: Implementation | ImplementationName = "reference",
    ) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        self.multi_attn = TemporalMultiheadAttention(dim, num_heads, dropout, self.compute)
        self.layer_norm1 = nn.LayerNorm(dim)
        self.layer_norm2 = nn.LayerNorm(dim)
        self.feedforward = feedforward
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)


class AttentionLayer(_Layer):
    """[T, B, E] → [T, B, E]: post-norm layer of order attention (TSA spec, section 5)."""

    def forward(
        self,
        x: Tensor,
        time: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        trace: Trace = SILENT,
    ) -> Tensor:
        """Run the layer; arguments as in `TemporalMultiheadAttention`."""
        return self.compute.attention_layer(self, x, time, key_padding_mask, attn_mask, trace)


class AttentionLayerPreNorm(_Layer):
    """[T, B, D] → [T, B, D]: pre-norm layer of feature attention (TSA spec, section 5)."""

    def forward(self, x: Tensor, trace: Trace = SILENT) -> Tensor:
        """Run the layer."""
        return self.compute.attention_layer_pre_norm(self, x, trace)


class OrderAttentionModule(Block):
    """A history of orders → [B, E] (TSA spec, section 4).

    Args:
        embedding: the shared table, (V + 2) × D, padding row 0.
        n_num_features: Fn, whose rows are the table's last before row V + 1.
        layers: the attention layers, width E = 2·D.
        aggregation_cat, aggregation_num: [..., D, F] → [..., D, 1] for the Fc and the Fn features.
        bias_rows: rows of the legacy's unused `emb_tbl_bias`; 0 leaves it out.
        use_time_seq: pass the orders' times to the layers.
        return_seq: return [B, L + 1, E] instead of the dummy token's [B, E].
        time_encoder: [B, L, 1] → [L, B, E], added to the order tokens; None in the production form.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        n_num_features: int,
        layers: list[AttentionLayer],
        aggregation_cat: nn.Module,
        aggregation_num: nn.Module,
        bias_rows: int = 0,
        use_time_seq: bool = True,
        return_seq: bool = False,
        time_encoder: nn.Module | None = None,
        implementation: Implementation | ImplementationName = "reference",
    ) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        D = embedding.embedding_dim
        self.n_embedding = embedding.num_embeddings - 2
        self.n_num_features = n_num_features
        self.use_time_seq = use_time_seq
        self.return_seq = return_seq
        self.dummy_order = nn.Parameter(torch.randn(1, 2 * D))
        if bias_rows:
            self.emb_tbl_bias = untrained(bias_rows, D)
        self.embedding = embedding
        self.layer_norm_feature = nn.LayerNorm(2 * D)
        self.layer_stack = nn.ModuleList(layers)
        self.layer_norm = nn.LayerNorm(2 * D)
        self.feature_aggregation_cat = aggregation_cat
        self.feature_aggregation_num = aggregation_num
        self.time_encoder = time_encoder

    def forward(
        self,
        x_cat: Tensor,
        x_num: Tensor,
        time_seq: Tensor,
        key_padding_mask: Tensor,
        attn_mask: Tensor | None = None,
        trace: Trace = SILENT,
        compute: OrderAttention | None = None,
    ) -> Tensor:
        """Read a history; tensors as in TSA spec, section 1. `compute` reads it instead, where given."""
        compute = compute or self.compute.order_attention
        return compute(self, x_cat, x_num, time_seq, key_padding_mask, attn_mask, trace)


class FeatureAttentionModule(Block):
    """The features of the current order → [B, D] (TSA spec, section 7).

    Args:
        embedding: the shared table, (V + 2) × D.
        embedding_engineered: (Fe + 1) × D, row 0 is the read-out token's zero row.
        n_cat_features, n_num_features: Fc and Fn.
        layers: pre-norm attention layers of width D.
        use_bias_table: add a learned bias per feature token.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        embedding_engineered: nn.Embedding,
        n_cat_features: int,
        n_num_features: int,
        layers: list[AttentionLayerPreNorm],
        use_bias_table: bool = True,
        implementation: Implementation | ImplementationName = "reference",
    ) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        D = embedding.embedding_dim
        self.n_embedding = embedding.num_embeddings - 2
        self.n_num_features = n_num_features
        self.n_engineered = embedding_engineered.num_embeddings - 1
        self.emb_tbl_bias: nn.Parameter | None = None
        self.engineered_emb_tbl_bias: nn.Parameter | None = None
        if use_bias_table:
            self.emb_tbl_bias = nn.Parameter(torch.zeros(n_cat_features + n_num_features, D))
            if self.n_engineered:
                self.engineered_emb_tbl_bias = nn.Parameter(torch.zeros(self.n_engineered, D))
        self.embedding = embedding
        self.layer_stack_feature = nn.ModuleList(layers)
        self.layer_norm = untrained_layer_norm(2 * D)
        self.embedding_engineered = embedding_engineered
        self.layer_norm_engineered = nn.LayerNorm(D)

    def forward(
        self, x_cat: Tensor, x_num: Tensor, x_engineered: Tensor | None = None, trace: Trace = SILENT
    ) -> Tensor:
        """Read the current order, the last row of `x_cat` [B, L, Fc] and `x_num` [B, L, Fn]."""
        return self.compute.feature_attention(self, x_cat, x_num, x_engineered, trace)
