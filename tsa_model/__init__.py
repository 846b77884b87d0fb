"""TSA: temporal self-attention over order histories, for fraud scores.

A name is imported when it is first asked for: settings need no torch, most uses of a network no Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.losses.factory import create_loss_function
    from tsa_model.network.blocks import (
        AttentionLayer,
        AttentionLayerPreNorm,
        FeatureAggregation,
        FeatureAttentionModule,
        MixtureOfExperts,
        OrderAttentionModule,
        TemporalMultiheadAttention,
    )
    from tsa_model.network.forms.features import compute_fm_parallel
    from tsa_model.network.forms.time_encoding import (
        CosineTimeEncoding,
        PeriodicTimeEncoding,
        TimeEncode,
        TimeEncoder,
    )
    from tsa_model.network.legacy_weights import load_legacy_state_dict
    from tsa_model.network.networks import (
        DualSequenceNetwork,
        Network,
        SingleSequenceNetwork,
        build_network,
    )
    from tsa_model.settings.model import ModelConfig, ModelSettings
    from tsa_model.training.modules import TSADualSeq, TSASingleSeq

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

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.losses.factory": ("create_loss_function",),
        "tsa_model.network.blocks": (
            "AttentionLayer",
            "AttentionLayerPreNorm",
            "FeatureAggregation",
            "FeatureAttentionModule",
            "MixtureOfExperts",
            "OrderAttentionModule",
            "TemporalMultiheadAttention",
        ),
        "tsa_model.network.forms.features": ("compute_fm_parallel",),
        "tsa_model.network.forms.time_encoding": (
            "CosineTimeEncoding",
            "PeriodicTimeEncoding",
            "TimeEncode",
            "TimeEncoder",
        ),
        "tsa_model.network.legacy_weights": ("load_legacy_state_dict",),
        "tsa_model.network.networks": (
            "DualSequenceNetwork",
            "Network",
            "SingleSequenceNetwork",
            "build_network",
        ),
        "tsa_model.settings.model": ("ModelConfig", "ModelSettings"),
        "tsa_model.training.modules": ("TSADualSeq", "TSASingleSeq"),
    },
)
