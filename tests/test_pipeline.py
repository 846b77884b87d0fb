"""The DAG and its command line; whole runs of it are in the slow tier."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

import pipeline
from launcher.compilation import (
    Documents,
    compiled_documents,
    read_documents,
    stage_names,
    write_documents,
)
from launcher.kubeflow.schedule import schedule
from launcher.kubeflow.submit import submit

STAGES = [
    "validate-events",
    "build-sequences",
    "train-model",
    "check-equivalence",
    "export-onnx",
    "generate-scores",
    "compare-champion",
]


@pytest.fixture(scope="module")
def documents() -> Documents:
    return compiled_documents(pipeline.tsa_pipeline)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(pipeline.main, list(arguments))


def test_committed_pipeline_is_current(documents: Documents) -> None:
    assert read_documents(pipeline.COMPILED) == documents, "run 'make compile'"


def test_kfp_compiles_the_same_pipeline(tmp_path: Path, documents: Documents) -> None:
    target = tmp_path / "pipeline.yaml"
    subprocess.run(
        [
            str(Path(sys.executable).with_name("kfp")),
            "dsl",
            "compile",
            "--py",
            pipeline.__file__,
            "--output",
            target,
        ],
        check=True,
        capture_output=True,
    )
    assert read_documents(target) == documents


def test_compiled_pipeline_is_a_valid_specification(documents: Documents) -> None:
    specification = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert specification.pipeline_info.name == "tsa-pipeline"
    executors = documents[0]["deploymentSpec"]["executors"]
    assert len(executors) == len(STAGES)
    for executor in executors.values():
        json_format.ParseDict(executor, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())


def test_stages_run_in_the_order_of_the_data_flow(documents: Documents) -> None:
    assert stage_names(documents) == STAGES


def test_no_stage_is_ever_taken_from_a_cache(documents: Documents) -> None:
    for task in documents[0]["root"]["dag"]["tasks"].values():
        assert not task["cachingOptions"].get("enableCache", False)


def test_export_needs_the_gates_verdict(documents: Documents) -> None:
    inputs = documents[0]["root"]["dag"]["tasks"]["export-onnx"]["inputs"]["artifacts"]
    assert inputs["verdict"]["taskOutputArtifact"] == {
        "outputArtifactKey": "verdict",
        "producerTask": "check-equivalence",
    }


def test_every_pipeline_parameter_is_an_option_of_run() -> None:
    parameters = set(inspect.signature(pipeline.tsa_pipeline.pipeline_func).parameters)
    options = {option.name for option in pipeline.run.params}
    assert parameters <= options
    assert parameters <= {option.name for option in submit.params}
    assert parameters <= {option.name for option in schedule.commands["create"].params}


def test_compile_sets_the_image_of_every_stage(tmp_path: Path) -> None:
    target = tmp_path / "other.yaml"
    assert (
        command("compile", "--image", "registry/tsa-python@sha256:abc", "--output", str(target)).exit_code
        == 0
    )
    executors = read_documents(target)[0]["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"registry/tsa-python@sha256:abc"}


def test_compile_check_tells_when_the_file_is_old(tmp_path: Path, documents: Documents) -> None:
    target = tmp_path / "pipeline.yaml"
    assert command("compile", "--check", "--output", str(target)).exit_code == 1
    write_documents(documents, target)
    assert command("compile", "--check", "--output", str(target)).exit_code == 0
    target.write_text(target.read_text().replace("tsa-pipeline", "other-pipeline"))
    result = command("compile", "--check", "--output", str(target))
    assert result.exit_code == 1
    assert "is not current" in result.output


def test_compile_for_vertex_writes_one_document_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    target = tmp_path / "vertex.yaml"
    site = tmp_path / "site.yaml"
    site.write_text("stages: {train_model: {accelerator: {vertex: NVIDIA_H100_80GB, count: 8}}}\n")
    result = command("compile", "--target", "vertex", "--stages", str(site), "--output", str(target))
    assert result.exit_code == 0, result.output
    assert "vertex has no place for them: timeout_s, labels, shared_memory" in result.output
    (document,) = read_documents(target)
    accelerator = document["deploymentSpec"]["executors"]["exec-train-model"]["container"]["resources"][
        "accelerator"
    ]
    assert accelerator["resourceType"] == "NVIDIA_H100_80GB"
    assert accelerator["resourceCount"] == "8"


def test_compile_names_a_mistake_in_the_stage_settings(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("stages: {train: {}}\n")
    result = command("compile", "--stages", str(site), "--output", str(tmp_path / "out.yaml"))
    assert result.exit_code == 1
    assert "no stages ['train']" in result.output
    assert not (tmp_path / "out.yaml").exists()


def test_later_stages_get_the_run_description_with_its_dates(documents: Documents) -> None:
    for name, task in documents[0]["root"]["dag"]["tasks"].items():
        source = task["inputs"]["parameters"]["config"]
        if name == "validate-events":
            assert source == {"componentInputParameter": "config"}
        else:
            assert source["taskOutputParameter"]["producerTask"] == "validate-events"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("run",),
        ("compile",),
        ("submit",),
        ("schedule",),
        *(("schedule", action) for action in ("create", "list", "pause", "resume", "delete")),
    ],
)
def test_help_teaches_with_examples(arguments: tuple[str, ...]) -> None:
    result = command(*arguments, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "python pipeline.py" in result.output


def test_a_failed_stage_ends_with_its_name_the_cause_and_status_one(tmp_path: Path) -> None:
    result = command("run", "--events", str(tmp_path / "nowhere.parquet"), "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 1
    assert "validate_events failed" in result.output
    assert "nowhere.parquet" in result.output
    assert f"log: {tmp_path}/runs/demo-" in result.output
    assert "Traceback" not in result.output


def test_run_asks_for_events_that_nothing_simulates() -> None:
    result = command("run", "--config", "handbook")
    assert result.exit_code == 2
    assert "--events" in result.output


def test_a_bad_run_description_stops_before_anything_is_written(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("dataset: {nmae: typo}\n")
    result = command("run", "--config", str(bad), "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 1
    assert "nmae" in result.output
    assert not (tmp_path / "runs").exists()
