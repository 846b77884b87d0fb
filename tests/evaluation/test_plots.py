"""The pictures are images, whatever the data; how they look is for eyes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tsa_model.evaluation import plots


@pytest.fixture(params=[300, 2], ids=["many orders", "one of each class"])
def scored(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    label = np.arange(request.param) % 2
    return (generator.random(request.param) + label) / 2, label


def size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


def test_every_picture_is_wide_and_drawn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    score, label = scored
    gate = np.stack([1 - score, score], axis=1)
    lengths = np.arange(score.size) % 7
    pictures = [
        plots.curves({"vali": (score, label), "test": (score, label)}),
        plots.score_distribution(score, label),
        plots.reliability({"raw score": score}, label),
        plots.gate_scores(gate, lengths, label, 0.05),
    ]
    for png in pictures:
        width, height = size(png)
        assert width > height > 300
        assert len(np.unique(np.asarray(Image.open(io.BytesIO(png)).convert("L")))) > 10


def test_the_same_figures_give_the_same_bytes() -> None:
    score, label = np.linspace(0, 1, 50), np.arange(50) % 2
    assert plots.score_distribution(score, label) == plots.score_distribution(score, label)
