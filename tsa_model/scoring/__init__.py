"""Scoring: rows through the exported model, into files that say where they come from.

`proof/` holds finished files against events and reference. Imports export, calibration and evaluation, each
name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy
from tsa_model.settings.scoring import ScoringConfig

if TYPE_CHECKING:
    from tsa_model.scoring.events import score_events
    from tsa_model.scoring.model import ScoringModel
    from tsa_model.scoring.rows import score_rows
    from tsa_model.scoring.stage import generate_scores

__all__ = [
    "ScoringConfig",
    "ScoringModel",
    "generate_scores",
    "score_events",
    "score_rows",
]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.scoring.events": ("score_events",),
        "tsa_model.scoring.model": ("ScoringModel",),
        "tsa_model.scoring.rows": ("score_rows",),
        "tsa_model.scoring.stage": ("generate_scores",),
    },
)
