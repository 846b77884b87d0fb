"""The second DAG: its committed form, its inputs, and a run by kfp's local runner."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp import dsl
from kfp.pipeline_spec import pipeline_spec_pb2
from support.scored_run import Scored

import components
import pipeline
from launcher.compilation import Documents, compiled_documents, read_documents, stage_names
from launcher.definition import Definition
from launcher.local.display import make_console
from launcher.local.run import run_locally
from launcher.stages import CHECKS, ClusterSettings
from tsa_model.monitoring.documents import Monitoring


@pytest.fixture(scope="module")
def documents() -> Documents:
    return compiled_documents(pipeline.tsa_monitoring)


def test_committed_monitoring_is_current(documents: Documents) -> None:
    assert read_documents(pipeline.MONITORING_COMPILED) == documents, "run 'make compile'"


def test_it_is_a_valid_specification_of_one_stage(documents: Documents) -> None:
    specification = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert specification.pipeline_info.name == "tsa-monitoring"
    assert stage_names(documents) == ["monitor-scores"]
    assert not documents[0]["root"]["dag"]["tasks"]["monitor-scores"]["cachingOptions"].get(
        "enableCache", False
    )


def test_its_inputs_known_without_kfp_are_the_compiled_ones(documents: Documents) -> None:
    inputs = Definition(
        pipeline.monitoring_stages, pipeline.define_monitoring, pipeline.MONITORING_COMPILED
    ).inputs
    compiled = documents[0]["root"]["inputDefinitions"]["parameters"]
    needed = {name for name, one in inputs.items() if one.default is inspect.Parameter.empty}
    assert (
        needed
        == {"reference", "scores"}
        == {name for name, one in compiled.items() if "defaultValue" not in one}
    )
    assert set(compiled) == set(inputs)


def test_both_pipelines_together_have_the_stages_of_the_settings(documents: Documents) -> None:
    first = stage_names(compiled_documents(pipeline.tsa_pipeline))
    names = {name.replace("-", "_") for name in [*first, *stage_names(documents)]}
    assert names == set(ClusterSettings.load().stages)
    assert "monitor_scores" in CHECKS


def given(scored: Scored, folder: Path) -> dict[str, str]:
    events = folder / "events.parquet"
    scored.events.to_parquet(events)
    return {
        "reference": str(scored.scores),
        "scores": f"{scored.scores / 'scores.parquet'}, {scored.scores}",
        "events": str(events),
        "config": scored.run.model_dump_json(exclude_unset=True),
        "data_interval_end": "2025-04-20",
    }


def test_the_stage_writes_what_it_found(scored: Scored, tmp_path: Path) -> None:
    names = {"monitoring": dsl.Artifact, "report": dsl.HTML, "prometheus": dsl.Artifact}
    outputs = {name: kind(name=name, uri=str(tmp_path / name)) for name, kind in names.items()}
    arguments = {"history": "", "labels": "", **given(scored, tmp_path)}
    components.monitor_scores.python_func(**arguments, **outputs)
    found = Monitoring.load(outputs["monitoring"].path)
    assert max(day.start for day in found.days).isoformat() == "2025-04-19T00:00:00+00:00"
    assert any("repeat an order" in note for note in found.notes)
    assert outputs["monitoring"].metadata["level"] == found.level
    assert "tsa_monitor_level" in Path(outputs["prometheus"].path).read_text()
    json.dumps(outputs["monitoring"].metadata, allow_nan=False)


@pytest.mark.slow
def test_kfps_local_runner_runs_it(scored: Scored, documents: Documents, tmp_path: Path) -> None:
    local = compiled_documents(pipeline.define_monitoring())
    (result,) = run_locally(local, given(scored, tmp_path), "shop", tmp_path / "runs", make_console())
    assert result.name == "monitor_scores"
    assert result.key_figure.startswith(("fine", "look", "act"))
    found = Monitoring.load(result.output / "monitoring")
    assert (result.output / "report.html").is_file()
    assert found.days
