"""Every component's own function, one after the other, on artifacts that are plain folders."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kfp import dsl
from support.small_run import small_run

import components

OUTPUTS = {
    "validate_events": ("validated", "report", "result", "quarantine"),
    "build_sequences": ("store", "report", "result"),
    "train_model": ("model", "logs"),
    "check_equivalence": ("verdict", "report"),
    "export_onnx": ("onnx",),
    "generate_scores": ("scores", "report", "roc", "contract_report", "contract_result"),
    "compare_champion": ("comparison", "report"),
}


def artifacts(folder: Path, stage: str) -> dict[str, dsl.Artifact]:
    """Outputs of a stage as kfp hands them out: a location in an existing folder, and no content."""
    (folder / stage).mkdir()
    kinds = {"roc": dsl.ClassificationMetrics}
    return {
        name: kinds.get(name, dsl.Artifact)(name=name, uri=str(folder / stage / name))
        for name in OUTPUTS[stage]
    }


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimpleNamespace]:
    """Outputs of every stage of one run."""
    folder = tmp_path_factory.mktemp("stages")
    config = small_run().model_dump_json()
    made: dict[str, SimpleNamespace] = {}

    def run(stage: str, **inputs: object) -> SimpleNamespace:
        outputs = artifacts(folder, stage)
        getattr(components, stage).python_func(**inputs, **outputs, config=config)
        made[stage] = SimpleNamespace(**outputs)
        return made[stage]

    validated = run("validate_events", events="", data_interval_end="").validated
    store = run("build_sequences", events=validated).store
    model = run("train_model", store=store, seed=-1, max_epochs=0).model
    verdict = run("check_equivalence", store=store, model=model).verdict
    onnx = run("export_onnx", store=store, model=model, verdict=verdict).onnx
    scores = run("generate_scores", store=store, onnx=onnx, events=validated).scores
    run(
        "compare_champion",
        events=validated,
        scores=scores,
        verdict=verdict,
        events_contract=made["validate_events"].result,
        sequences_contract=made["build_sequences"].result,
        scores_contract=made["generate_scores"].contract_result,
        champion="",
        promote=False,
    )
    return made


def test_every_promised_output_is_written(stages: dict[str, SimpleNamespace]) -> None:
    missing = [
        f"{stage}.{name}"
        for stage, names in OUTPUTS.items()
        for name in names
        if not Path(getattr(stages[stage], name).path).exists()
    ]
    assert missing == []


def test_outputs_are_those_the_component_declares() -> None:
    declared = {
        stage: set(getattr(components, stage).component_spec.outputs or ()) - {"Output"}
        for stage in components.__all__
    }
    assert declared == {stage: set(names) for stage, names in OUTPUTS.items()}


def test_every_stage_tells_its_key_figure(stages: dict[str, SimpleNamespace]) -> None:
    for stage, names in OUTPUTS.items():
        figures = [getattr(stages[stage], name).metadata.get("key_figure") for name in names]
        assert sum(figure is not None for figure in figures) == 1, stage


def test_metadata_is_what_kubeflow_stores(stages: dict[str, SimpleNamespace]) -> None:
    for stage, names in OUTPUTS.items():
        for name in names:
            json.dumps(getattr(stages[stage], name).metadata, allow_nan=False)


def test_scores_hold_every_test_order_once(stages: dict[str, SimpleNamespace]) -> None:
    from tsa_model.sequences import SequenceStore

    expected = SequenceStore.open(stages["build_sequences"].store.path).order_ids("test")
    scores = pd.read_parquet(Path(stages["generate_scores"].scores.path) / "scores.parquet")
    assert sorted(scores["order_id"]) == sorted(expected)
    assert scores.iloc[:, 2].between(0, 1).all()


def test_the_roc_curve_is_what_the_run_page_draws(stages: dict[str, SimpleNamespace]) -> None:
    points = stages["generate_scores"].roc.metadata["confidenceMetrics"]
    assert 10 < len(points) <= 200
    assert points[-1]["falsePositiveRate"] == points[-1]["recall"] == 1.0
    json.dumps(points, allow_nan=False)
