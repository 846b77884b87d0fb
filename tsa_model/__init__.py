"""TSA: temporal self-attention over order histories, for fraud scores."""

from tsa_model.config import ModelConfig, ModelSettings
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

__all__ = [
    "AttentionLayer",
    "AttentionLayerPreNorm",
    "DualSequenceNetwork",
    "FeatureAggregation",
    "FeatureAttentionModule",
    "MixtureOfExperts",
    "ModelConfig",
    "ModelSettings",
    "Network",
    "OrderAttentionModule",
    "SingleSequenceNetwork",
    "TemporalMultiheadAttention",
    "build_network",
    "load_legacy_state_dict",
]
