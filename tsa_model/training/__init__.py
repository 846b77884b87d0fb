"""Training: Lightning modules over the TSA network, the trainer around them, and `train_model`.

Names are loaded when first asked for, so that reading a `TrainConfig` does not import Lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tsa_model.settings.training import TrainConfig

if TYPE_CHECKING:
    from tsa_model.training.modules import TSADualSeq, TSAModule, TSASingleSeq
    from tsa_model.training.runner import train_model

_HOMES = {
    "TSADualSeq": "tsa_model.training.modules",
    "TSAModule": "tsa_model.training.modules",
    "TSASingleSeq": "tsa_model.training.modules",
    "train_model": "tsa_model.training.runner",
}

__all__ = ["TSADualSeq", "TSAModule", "TSASingleSeq", "TrainConfig", "train_model"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
