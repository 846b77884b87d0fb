"""Scoring: rows through the exported model, into files that say where they come from.

Names are loaded when first asked for, so that reading a `ScoringConfig` imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tsa_model.settings.scoring import ScoringConfig

if TYPE_CHECKING:
    from tsa_model.scoring.model import ScoringModel
    from tsa_model.scoring.rows import score_rows
    from tsa_model.scoring.stage import generate_scores

_HOMES = {
    "ScoringModel": "tsa_model.scoring.model",
    "generate_scores": "tsa_model.scoring.stage",
    "score_rows": "tsa_model.scoring.rows",
}

__all__ = ["ScoringConfig", "ScoringModel", "generate_scores", "score_rows"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
