"""The DAG; whole runs of it are in the slow tier."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

import pipeline
from launcher.compilation import Documents, compiled_documents, read_documents, stage_names
from launcher.definition import Definition

STAGES = [
    "validate-events",
    "build-sequences",
    "train-model",
    "check-equivalence",
    "export-onnx",
    "generate-scores",
    "check-online",
    "compare-champion",
]


@pytest.fixture(scope="module")
def documents() -> Documents:
    return compiled_documents(pipeline.tsa_pipeline)


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


def test_later_stages_get_the_run_description_with_its_dates(documents: Documents) -> None:
    for name, task in documents[0]["root"]["dag"]["tasks"].items():
        source = task["inputs"]["parameters"]["config"]
        if name == "validate-events":
            assert source == {"componentInputParameter": "config"}
        else:
            assert source["taskOutputParameter"]["producerTask"] == "validate-events"


PARAMETER_TYPES = {str: "STRING", int: "NUMBER_INTEGER", bool: "BOOLEAN"}


def test_the_inputs_known_without_kfp_are_the_compiled_ones(documents: Documents) -> None:
    inputs = Definition(pipeline.stages, pipeline.define, pipeline.COMPILED).inputs
    compiled = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert {name: (one["parameterType"], one["defaultValue"]) for name, one in compiled.items()} == {
        name: (PARAMETER_TYPES[one.annotation], one.default) for name, one in inputs.items()
    }
    assert all(one["description"] for one in compiled.values())
