"""Other written forms of some blocks, selectable by configuration in place of the production ones."""

from tsa_model.network.forms.experts import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.forms.features import (
    FeatureAggregationLinear,
    FeatureAggregationReLU,
    compute_fm_parallel,
)
from tsa_model.network.forms.time_encoding import (
    CosineTimeEncoding,
    PeriodicTimeEncoding,
    TimeEncode,
    TimeEncoder,
)
from tsa_model.settings.presets import PRESETS

__all__ = [
    "PRESETS",
    "CosineTimeEncoding",
    "DenseSoftmaxExperts",
    "FeatureAggregationLinear",
    "FeatureAggregationReLU",
    "NoisyTop2Experts",
    "PeriodicTimeEncoding",
    "TimeEncode",
    "TimeEncoder",
    "compute_fm_parallel",
]
