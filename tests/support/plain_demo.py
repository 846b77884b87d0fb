"""The demo's description without its derived columns, for tests that are about something else."""

from __future__ import annotations

from typing import Any

from tsa_model.settings.run import RunConfig


def plain_demo() -> dict[str, Any]:
    """The demo as JSON values: raw columns, scaled to the largest number; no labels, wide head or trees."""
    content = RunConfig.load("demo").model_dump(mode="json")
    dataset = RunConfig.load("demo").dataset
    content["dataset"] |= {
        "windows": [],
        "lags": [],
        "known_label": False,
        "scale_quantile": 1.0,
        "engineered": [name for name in dataset.engineered if name not in dataset.derived],
    }
    content["model"] |= {"wide_hidden_dim": 0, "boosted_trees": 0, "embedding_std": 1.0, "dropout": 0.0}
    return content
