"""Reasons of a whole demo run against the truth, as its report prints them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The entry `reasons` of the run's metrics."""
    folder = tmp_path_factory.mktemp("demo")
    status = subprocess.run(
        [sys.executable, pipeline.__file__, "run", "--runs", folder / "runs"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=3_000,
        check=False,
    ).returncode
    assert status == 0
    scores = folder / "runs" / "latest" / "stages" / "generate-scores" / "scores"
    return json.loads(Path(scores / "metrics.json").read_text())["reasons"]


def test_the_strongest_side_is_where_the_fraud_shows(figures: dict) -> None:
    causes = {each["cause"]: each for each in figures["truth"]["causes"]}
    assert set(causes) == {"order", "customer", "card"}
    for cause, figure in causes.items():
        assert figure["frauds"] >= 30
        assert figure["right_side"] >= 0.9, cause


def test_the_strongest_parts_contain_an_order_of_the_theft(figures: dict) -> None:
    (card,) = (each for each in figures["truth"]["causes"] if each["cause"] == "card")
    assert card["causing_order"] >= 0.8
    assert card["causing_order_shuffled"] < 0.5


def test_shuffled_sides_are_wrong(figures: dict) -> None:
    wrong = [each["right_side_shuffled"] * each["frauds"] for each in figures["truth"]["causes"]]
    assert sum(wrong) / sum(each["frauds"] for each in figures["truth"]["causes"]) < 0.5


def test_the_strongest_reasons_move_the_score_five_times_as_far_as_random_ones(figures: dict) -> None:
    assert figures["deletion"]["ratio"] >= 5
