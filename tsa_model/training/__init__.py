"""Training: Lightning modules over the TSA network, the trainer around them, and `train_model`.

Imports network, losses and sequences, each name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy
from tsa_model.settings.training import TrainConfig

if TYPE_CHECKING:
    from tsa_model.training.modules import TSADualSeq, TSAModule, TSASingleSeq
    from tsa_model.training.runner import train_model

__all__ = [
    "TSADualSeq",
    "TSAModule",
    "TSASingleSeq",
    "TrainConfig",
    "train_model",
]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.training.modules": ("TSADualSeq", "TSAModule", "TSASingleSeq"),
        "tsa_model.training.runner": ("train_model",),
    },
)
