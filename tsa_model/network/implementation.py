"""An implementation of the network: its computations as one value, handed to every block when it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from tsa_model.batch import Batch
from tsa_model.network.trace import Trace

if TYPE_CHECKING:
    from tsa_model.network import blocks, networks

ImplementationName = Literal["reference", "fast"]
Scored = tuple[Tensor, Tensor]
"""Logits [B, classes] and the ensemble vector they are computed from."""


@dataclass(frozen=True)
class Implementation:
    """The functions a network computes with; each takes the block that owns the parameters.

    Shapes and arguments are those of the functions of the same names in `reference.py`. Masks, times and
    engineered features that are absent are None.

    Attributes:
        name: how a configuration, a checkpoint and a report speak of it.
    """

    name: ImplementationName
    feature_aggregation: Callable[[blocks.FeatureAggregation, Tensor], Tensor]
    mixture_of_experts: Callable[[blocks.MixtureOfExperts, Tensor, Trace], Tensor]
    attention: Callable[
        [blocks.TemporalMultiheadAttention, Tensor, Tensor | None, Tensor | None, Tensor | None, Trace],
        Tensor,
    ]
    attention_layer: Callable[
        [blocks.AttentionLayer, Tensor, Tensor | None, Tensor | None, Tensor | None, Trace], Tensor
    ]
    attention_layer_pre_norm: Callable[[blocks.AttentionLayerPreNorm, Tensor, Trace], Tensor]
    order_attention: Callable[
        [blocks.OrderAttentionModule, Tensor, Tensor, Tensor, Tensor, Tensor | None, Trace], Tensor
    ]
    feature_attention: Callable[[blocks.FeatureAttentionModule, Tensor, Tensor, Tensor | None, Trace], Tensor]
    single: Callable[[networks.SingleSequenceNetwork, Batch, Trace], Scored]
    dual: Callable[[networks.DualSequenceNetwork, Batch, Trace], Scored]
