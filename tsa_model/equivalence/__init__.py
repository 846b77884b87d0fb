"""The gate: a model is exported only when it is proven to compute what the reference computes.

Imports legacy, training, sequences and network, each name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy
from tsa_model.settings.gate import GateConfig

if TYPE_CHECKING:
    from tsa_model.equivalence.gate import check_equivalence, judge, judge_model
    from tsa_model.equivalence.results import Verdict
    from tsa_model.legacy.capture import capture
    from tsa_model.legacy.errors import EquivalenceError

__all__ = [
    "EquivalenceError",
    "GateConfig",
    "Verdict",
    "capture",
    "check_equivalence",
    "judge",
    "judge_model",
]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.equivalence.gate": ("check_equivalence", "judge", "judge_model"),
        "tsa_model.equivalence.results": ("Verdict",),
        "tsa_model.legacy.capture": ("capture",),
        "tsa_model.legacy.errors": ("EquivalenceError",),
    },
)
