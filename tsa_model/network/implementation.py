"""An implementation of the network: its computations as one value, handed to every block when it is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tsa_model.batch import Batch
from tsa_model.network.parameters import (
    AggregationParameters,
    AttentionParameters,
    DualSequenceParameters,
    FeatureAttentionParameters,
    LayerParameters,
    MixtureParameters,
    OrderAttention,
    SingleSequenceParameters,
)
from tsa_model.network.trace import Trace

ImplementationName = Literal["reference", "fast", "static"]
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
    feature_aggregation: Callable[[AggregationParameters, Tensor], Tensor]
    mixture_of_experts: Callable[[MixtureParameters, Tensor, Trace], Tensor]
    attention: Callable[
        [AttentionParameters, Tensor, Tensor | None, Tensor | None, Tensor | None, Trace],
        Tensor,
    ]
    attention_layer: Callable[
        [LayerParameters, Tensor, Tensor | None, Tensor | None, Tensor | None, Trace], Tensor
    ]
    attention_layer_pre_norm: Callable[[LayerParameters, Tensor, Trace], Tensor]
    order_attention: OrderAttention
    feature_attention: Callable[[FeatureAttentionParameters, Tensor, Tensor, Tensor | None, Trace], Tensor]
    single: Callable[[SingleSequenceParameters, Batch, Trace], Scored]
    dual: Callable[[DualSequenceParameters, Batch, Trace], Scored]
    mean_of_members: Callable[[Sequence[Tensor]], Tensor]
