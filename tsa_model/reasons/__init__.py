"""Reasons of single scores: what raised or lowered them, on the exported ONNX file itself (docs/REASONS.md).

Imports the export, the store's fitted preprocessing and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy
from tsa_model.settings.reasons import ReasonsConfig

if TYPE_CHECKING:
    from tsa_model.reasons.attribution import Attribution, Effort, attribute
    from tsa_model.reasons.game import Case, Rules

__all__ = ["Attribution", "Case", "Effort", "ReasonsConfig", "Rules", "attribute"]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.reasons.attribution": ("Attribution", "Effort", "attribute"),
        "tsa_model.reasons.game": ("Case", "Rules"),
    },
)
