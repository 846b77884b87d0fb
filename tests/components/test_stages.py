"""What the components' own functions leave behind, one after the other over one small run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.chain import Chain
from support.stages import OUTPUTS, place, stage_metadata

import components


@pytest.fixture(scope="module")
def run_folder(chain: Chain) -> Path:
    """The folder of one run of every stage."""
    return chain.places.folder


def test_every_promised_output_is_written(run_folder: Path) -> None:
    missing = [
        f"{stage}.{name}"
        for stage, names in OUTPUTS.items()
        for name in names
        if not place(run_folder, stage, name).exists()
    ]
    assert missing == []


def test_outputs_are_those_the_component_declares() -> None:
    declared = {
        stage: set(getattr(components, stage).component_spec.outputs or ()) - {"Output"}
        for stage in components.__all__
        if stage != "monitor_scores"  # of another pipeline: tests/test_monitoring_pipeline.py
    }
    assert declared == {stage: set(names) for stage, names in OUTPUTS.items()}


def test_every_stage_tells_its_key_figure(run_folder: Path) -> None:
    for stage, outputs in stage_metadata(run_folder).items():
        figures = [metadata.get("key_figure") for metadata in outputs.values()]
        assert sum(figure is not None for figure in figures) == 1, stage


def test_metadata_is_what_kubeflow_stores(run_folder: Path) -> None:
    # It was written as strict JSON; nothing in it may be left out or nested but the points of the curve.
    for stage, outputs in stage_metadata(run_folder).items():
        for output, metadata in outputs.items():
            plain = {name: value for name, value in metadata.items() if name != "confidenceMetrics"}
            assert all(isinstance(x, (str, bool, int, float)) for x in plain.values()), (stage, output)


def test_scores_hold_every_test_order_once(run_folder: Path) -> None:
    from tsa_model.sequences import SequenceStore

    expected = SequenceStore.open(place(run_folder, "build_sequences", "store")).order_ids("test")
    scores = pd.read_parquet(place(run_folder, "generate_scores", "scores") / "scores.parquet")
    assert sorted(scores["order_id"]) == sorted(expected)
    assert scores.iloc[:, 2].between(0, 1).all()


def test_the_roc_curve_is_what_the_run_page_draws(run_folder: Path) -> None:
    points = stage_metadata(run_folder)["generate_scores"]["roc"]["confidenceMetrics"]
    assert 10 < len(points) <= 200
    assert points[-1]["falsePositiveRate"] == points[-1]["recall"] == 1.0
