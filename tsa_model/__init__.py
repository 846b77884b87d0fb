"""TSA: temporal self-attention over order histories, for fraud scores."""

from __future__ import annotations

from typing import Any

from tsa_model.forms import compute_fm_parallel
from tsa_model.forms.time_encoding import CosineTimeEncoding, PeriodicTimeEncoding, TimeEncode, TimeEncoder
from tsa_model.losses import create_loss_function
from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    FeatureAggregation,
    FeatureAttentionModule,
    MixtureOfExperts,
    OrderAttentionModule,
    TemporalMultiheadAttention,
)
from tsa_model.network.networks import (
    DualSequenceNetwork,
    Network,
    SingleSequenceNetwork,
    build_network,
    load_legacy_state_dict,
)
from tsa_model.settings.model import ModelConfig, ModelSettings

__all__ = [
    "AttentionLayer",
    "AttentionLayerPreNorm",
    "CosineTimeEncoding",
    "DualSequenceNetwork",
    "FeatureAggregation",
    "FeatureAttentionModule",
    "MixtureOfExperts",
    "ModelConfig",
    "ModelSettings",
    "Network",
    "OrderAttentionModule",
    "PeriodicTimeEncoding",
    "SingleSequenceNetwork",
    "TSADualSeq",
    "TSASingleSeq",
    "TemporalMultiheadAttention",
    "TimeEncode",
    "TimeEncoder",
    "build_network",
    "compute_fm_parallel",
    "create_loss_function",
    "load_legacy_state_dict",
]


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import and most uses of the network never train.
    if name in ("TSASingleSeq", "TSADualSeq"):
        from tsa_model.training import modules

        return getattr(modules, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
