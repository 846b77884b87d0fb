"""Champion and challenger: compare two models on the same orders, promote the new one, go back.

Imports scoring and export, each name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy
from tsa_model.settings.promotion import PromotionConfig

if TYPE_CHECKING:
    from tsa_model.promotion.champion import champion_dataset, check_champion
    from tsa_model.promotion.compare import compare_models
    from tsa_model.promotion.comparison import Comparison
    from tsa_model.promotion.registry import Registry
    from tsa_model.promotion.stage import compare_champion

__all__ = [
    "Comparison",
    "PromotionConfig",
    "Registry",
    "champion_dataset",
    "check_champion",
    "compare_champion",
    "compare_models",
]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.promotion.champion": ("champion_dataset", "check_champion"),
        "tsa_model.promotion.compare": ("compare_models",),
        "tsa_model.promotion.comparison": ("Comparison",),
        "tsa_model.promotion.registry": ("Registry",),
        "tsa_model.promotion.stage": ("compare_champion",),
    },
)
