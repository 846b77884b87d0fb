"""Champion and challenger: compare two models on the same orders, promote the new one, go back.

Names are loaded when first asked for, so that reading a `PromotionConfig` imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tsa_model.settings.promotion import PromotionConfig

if TYPE_CHECKING:
    from tsa_model.promotion.compare import compare_models
    from tsa_model.promotion.comparison import Comparison
    from tsa_model.promotion.registry import Registry
    from tsa_model.promotion.stage import compare_champion

_HOMES = {
    "Comparison": "tsa_model.promotion.comparison",
    "Registry": "tsa_model.promotion.registry",
    "compare_champion": "tsa_model.promotion.stage",
    "compare_models": "tsa_model.promotion.compare",
}

__all__ = ["Comparison", "PromotionConfig", "Registry", "compare_champion", "compare_models"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
