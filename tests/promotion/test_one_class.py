"""A test period of one class compares no models: the champion stays, and a first one is not promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tsa_model.promotion import PromotionConfig, Registry, compare_models
from tsa_model.scoring.model import ScoringModel

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("label", "lacking"), [(0, "fraud"), (1, "genuine order")])
@pytest.mark.parametrize("with_champion", [True, False])
def test_one_class_is_no_comparison(
    world: Any, tmp_path: Path, label: int, lacking: str, with_champion: bool
) -> None:
    start, end = (m.timestamp() for m in ScoringModel.load(world.good.model).dataset.split.window("test"))
    events = pd.read_parquet(world.events)
    inside = events["order_time"].between(start, end, inclusive="left")
    events.loc[inside, "label"] = label
    comparison = compare_models(
        world.good.model,
        world.bad.model if with_champion else None,
        events,
        world.good.verdict,
        world.contracts,
        PromotionConfig(),
    )
    assert not comparison.passed
    expected = f"comparison: cannot compare: no {lacking} among the {inside.sum():,} test labels"
    assert comparison.failures == expected
    registry = Registry(tmp_path / "registry")
    registry.init()
    with pytest.raises(ValueError, match="not promoted: comparison: cannot compare"):
        registry.promote(world.good.model, comparison)
    assert registry.pointer() is None
