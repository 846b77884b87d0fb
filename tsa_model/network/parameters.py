"""What a computation reads of each block, as types; `reference.py` and `fast/` know no more of the blocks.

Two of the types are base classes with parameters and rules, because the fast form asks whether a module is
one. The others are protocols: lists of attributes, which the blocks in `blocks.py` and the networks in
`networks.py` have. The type checker compares them where a block calls `self.compute`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from tsa_model.network.precision import Trainable
from tsa_model.network.trace import SILENT, Trace
from tsa_model.network.trees import BoostedTrees

FEATURE_AGGREGATION_HALVINGS = 5
MIN_EXPERT_CAPACITY = 4


class AggregationParameters(nn.Module):
    """The MLP along the feature axis (TSA spec, section 3).

    Args:
        n_features: F. Widths halve five times, never below 1, and end at 1.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        widths = [max(1, n_features // 2**k) for k in range(FEATURE_AGGREGATION_HALVINGS + 1)] + [1]
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            if i:
                layers.append(nn.LeakyReLU(0.01))
            layers.append(nn.Linear(n_in, n_out))
        self.encoder = nn.Sequential(*layers)


class _Top2Gate(nn.Module):
    def __init__(self, dim: int, num_experts: int) -> None:
        super().__init__()
        self.w_gating = nn.Parameter(torch.randn(dim, num_experts))


class _Experts(nn.Module):
    def __init__(self, dim: int, num_experts: int, hidden_dim: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(num_experts, dim, hidden_dim).uniform_(-1, 1) / dim**0.5)
        self.w2 = nn.Parameter(torch.empty(num_experts, hidden_dim, dim).uniform_(-1, 1) / hidden_dim**0.5)


class MixtureParameters(nn.Module):
    """Gate, experts, and the rules by which tokens go to them (TSA spec, section 6).

    Args:
        dim: width D of a token.
        num_experts: experts, at least 2.
        hidden_dim: hidden width of an expert.
        second_policy_train: what happens to the second expert in training: random | all | none | threshold.
        second_policy_eval: the same in evaluation.
        deterministic_eval: in evaluation keep every second expert and drop the capacity limit, so that
            a row's result does not depend on its batch.
    """

    def __init__(
        self,
        dim: int,
        num_experts: int,
        hidden_dim: int,
        second_policy_train: str,
        second_policy_eval: str,
        deterministic_eval: bool,
    ) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.gate = _Top2Gate(dim, num_experts)
        self.experts = _Experts(dim, num_experts, hidden_dim)
        self.second_policy_train = second_policy_train
        self.second_policy_eval = second_policy_eval
        self.deterministic_eval = deterministic_eval
        self.capacity_factor_train = 1.25
        self.capacity_factor_eval = 2.0

    @property
    def unlimited(self) -> bool:
        """No capacity limit and no dropped second expert: rows do not influence each other."""
        return self.deterministic_eval and not self.training

    @property
    def second_policy(self) -> str:
        """The policy in force."""
        if self.unlimited:
            return "all"
        return self.second_policy_train if self.training else self.second_policy_eval

    def capacity(self, n_tokens: int) -> int:
        """Tokens of a group one expert accepts."""
        if self.unlimited:
            return max(n_tokens, 1)
        return max(min(n_tokens, int(n_tokens * self._factor / self.num_experts)), MIN_EXPERT_CAPACITY)

    def may_queue(self, n_rows: int) -> bool:
        """Whether so many rows can ask one expert for more than it accepts of a group; each asks twice."""
        return not self.unlimited and 2 * n_rows > self.capacity(n_rows)

    def capacity_of(self, n_tokens: Tensor) -> Tensor:
        """The same for a number of tokens that only the device knows, int64 []."""
        if self.unlimited:
            return n_tokens.clamp(min=1)
        share = (n_tokens.double() * self._factor / self.num_experts).long()
        return torch.minimum(n_tokens, share).clamp(min=MIN_EXPERT_CAPACITY)

    @property
    def _factor(self) -> float:
        return self.capacity_factor_train if self.training else self.capacity_factor_eval


class AttentionParameters(Protocol):
    """Self-attention over tokens of width E (TSA spec, section 5).

    Attributes:
        training: whether weights are dropped.
        num_heads: H.
        dropout: rate on the attention weights.
        in_proj_weight, in_proj_bias: queries, keys and values, [3·E, E] and [3·E].
        out_proj: E → E.
    """

    training: bool
    num_heads: int
    dropout: float
    in_proj_weight: nn.Parameter
    in_proj_bias: nn.Parameter
    out_proj: nn.Linear


class LayerParameters(Protocol):
    """An attention layer of either kind (TSA spec, section 5).

    Attributes:
        layer_norm1, dropout1: of the attention.
        feedforward: a mixture of experts or a plain feed-forward block.
        layer_norm2, dropout2: of the feed-forward block.
    """

    layer_norm1: nn.LayerNorm
    dropout1: nn.Dropout
    feedforward: nn.Module
    layer_norm2: nn.LayerNorm
    dropout2: nn.Dropout

    @property
    def multi_attn(self) -> AttentionParameters:
        """The attention."""


class OrderAttentionParameters(Trainable, Protocol):
    """Order attention: a history of orders → one vector (TSA spec, section 4).

    Attributes:
        embedding: the shared table, (V + 2) × D.
        n_embedding, n_num_features: V and Fn.
        feature_aggregation_cat, feature_aggregation_num: [..., D, F] → [..., D, 1].
        layer_norm_feature, layer_norm: of the orders, and of the orders and the dummy token.
        time_encoder: [B, L, 1] → [L, B, E], or None.
        dummy_order: the dummy token, [1, E].
        layer_stack: attention layers, each with `LayerParameters`.
        use_time_seq: whether the layers are told the orders' times.
        return_seq: whether every position is returned, not the dummy token's alone.
    """

    embedding: nn.Embedding
    n_embedding: int
    n_num_features: int
    feature_aggregation_cat: nn.Module
    feature_aggregation_num: nn.Module
    layer_norm_feature: nn.LayerNorm
    layer_norm: nn.LayerNorm
    time_encoder: nn.Module | None
    dummy_order: nn.Parameter
    layer_stack: nn.ModuleList
    use_time_seq: bool
    return_seq: bool

    def __call__(
        self,
        *history_and_mask: Tensor | None,
        trace: Trace = SILENT,
        compute: OrderAttention | None = None,
    ) -> Tensor:
        """Read a history (`batch.History`) under an attention mask, with the block's own implementation.

        With `compute` that function reads it instead.
        """


OrderAttention = Callable[
    [OrderAttentionParameters, Tensor, Tensor, Tensor, Tensor, Tensor | None, Trace], Tensor
]
"""(block, the four tensors of a history, attention mask, trace) → [B, E]; see `reference.order_attention`."""


class FeatureAttentionParameters(Protocol):
    """Feature attention: the features of the current order → one vector (TSA spec, section 7).

    Attributes:
        embedding: the shared table, (V + 2) × D.
        n_embedding, n_num_features, n_engineered: V, Fn and Fe.
        emb_tbl_bias: per categorical and numerical feature, [Fc + Fn, D], or None.
        embedding_engineered: (Fe + 1) × D, row 0 is the read-out token's.
        engineered_emb_tbl_bias: per engineered feature, [Fe, D], or None.
        layer_norm_engineered: of the tokens.
        layer_stack_feature: attention layers, each with `LayerParameters`.
    """

    embedding: nn.Embedding
    n_embedding: int
    n_num_features: int
    n_engineered: int
    emb_tbl_bias: nn.Parameter | None
    embedding_engineered: nn.Embedding
    engineered_emb_tbl_bias: nn.Parameter | None
    layer_norm_engineered: nn.LayerNorm
    layer_stack_feature: nn.ModuleList

    def __call__(
        self, x_cat: Tensor, x_num: Tensor, x_engineered: Tensor | None = None, trace: Trace = SILENT
    ) -> Tensor:
        """Read the current order with the block's own implementation."""


class SingleSequenceParameters(Protocol):
    """The network over one history (TSA spec, section 8).

    Attributes:
        mlp, mlp_layer_norm: the branch over the current order's numbers; without it `mlp` is None.
        clf: ensemble → logits.
        wide: the current order's numbers → what is added to the logits; without it None.
        wide_is_piecewise: whether it reads their shares of intervals too.
        trees: what they say of the current order is added to the fraud logit; without them None.
    """

    mlp: nn.Sequential | None
    mlp_layer_norm: nn.LayerNorm
    clf: nn.Sequential
    wide: nn.Sequential | None
    wide_is_piecewise: bool
    trees: BoostedTrees | None

    @property
    def order_attention(self) -> OrderAttentionParameters:
        """Reads the history."""

    @property
    def feature_attention(self) -> FeatureAttentionParameters:
        """Reads the current order."""


class DualSequenceParameters(Protocol):
    """The network over both histories (TSA spec, section 9).

    Attributes:
        gate_score: both gate embeddings → the two gates' logits.
        gate_threshold: rows whose card gate is not above it skip the card's order attention.
        layer_norm: of the weighed sum of both histories.
        clf: ensemble → logits.
        wide: the current order's numbers → what is added to the logits; without it None.
        wide_is_piecewise: whether it reads their shares of intervals too.
        trees: what they say of the current order is added to the fraud logit; without them None.
    """

    gate_score: nn.Sequential
    gate_threshold: float
    layer_norm: nn.LayerNorm
    clf: nn.Sequential
    wide: nn.Sequential | None
    wide_is_piecewise: bool
    trees: BoostedTrees | None

    @property
    def gate_emb(self) -> OrderAttentionParameters:
        """Reads each history for the gate."""

    @property
    def order_attention_cid(self) -> OrderAttentionParameters:
        """Reads the customer's history."""

    @property
    def order_attention_ccid(self) -> OrderAttentionParameters:
        """Reads the card's history."""

    @property
    def feature_attention(self) -> FeatureAttentionParameters:
        """Reads the current order."""
