"""The gate: a model may leave only when it is proven to compute what the reference computes.

Names are loaded when first asked for, so that reading a `GateConfig` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tsa_model.settings.gate import GateConfig

if TYPE_CHECKING:
    from tsa_model.equivalence.capturing import capture
    from tsa_model.equivalence.gate import check_equivalence, judge, judge_model
    from tsa_model.equivalence.results import EquivalenceError, Verdict

_HOMES = {
    "EquivalenceError": "results",
    "Verdict": "results",
    "capture": "capturing",
    "check_equivalence": "gate",
    "judge": "gate",
    "judge_model": "gate",
}

__all__ = [
    "EquivalenceError",
    "GateConfig",
    "Verdict",
    "capture",
    "check_equivalence",
    "judge",
    "judge_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"tsa_model.equivalence.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
