"""Submitting, against a server that keeps state and knows its API's description."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from support.kfp_faults import Fault
from support.kfp_server import KfpServer

import pipeline
from tsa_model.settings.run import RunConfig

IMAGE = "registry.example/tsa-python@sha256:" + "0123456789abcdef" * 4


def test_submitting_twice_makes_one_pipeline_one_version_two_runs(server: KfpServer, command) -> None:
    results = [command("submit", "--image", IMAGE, "--experiment", "weekly") for _ in range(2)]
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    assert [one["name"] for one in server.pipelines] == ["tsa-pipeline"]
    assert server.pipelines[0]["namespace"] == "fraud"
    assert [one["display_name"] for one in server.experiments] == ["weekly"]
    (version,) = server.versions
    assert re.search(r"-image-0123456789ab-[0-9a-f]{12}$", version["name"])
    assert len({run["display_name"] for run in server.runs}) == 2
    for run, result in zip(server.runs, results, strict=True):
        assert run["pipeline_version_reference"] == {
            "pipeline_id": "pipeline-1",
            "pipeline_version_id": version["pipeline_version_id"],
        }
        assert result.output.splitlines()[-1] == f"{server.host}/#/runs/details/{run['run_id']}"


@pytest.mark.slow
def test_the_same_content_is_one_version_and_a_changed_stage_setting_a_new_one(
    server: KfpServer, command, tmp_path: Path
) -> None:
    for _ in range(10):
        assert command("submit").exit_code == 0
    assert (len(server.uploads), len(server.versions), len(server.runs)) == (1, 1, 10)
    settings = tmp_path / "stages.yaml"
    settings.write_text("stages:\n  train_model:\n    timeout_s: 54321\n")
    for _ in range(2):
        assert command("submit", "--stages", str(settings)).exit_code == 0
    assert (len(server.uploads), len(server.versions), len(server.runs)) == (2, 2, 12)


def test_what_is_uploaded_is_the_compiled_pipeline(server: KfpServer, command) -> None:
    assert command("submit", "--image", IMAGE).exit_code == 0
    documents = list(yaml.safe_load_all(server.uploads[0]))
    assert len(documents) == 2
    images = {e["container"]["image"] for e in documents[0]["deploymentSpec"]["executors"].values()}
    assert images == {IMAGE}
    assert "Warning" not in command("submit", "--image", IMAGE).output
    assert "cannot pull localhost/" in command("submit").output


def test_arguments_are_sent_in_the_types_of_the_inputs(server: KfpServer, command, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(RunConfig.load("demo").model_dump_json())
    result = command(
        "submit",
        "--config",
        str(config),
        "--seed",
        "3",
        "-p",
        "max_epochs=2",
        "--data-interval-end",
        "2026-01-01",
    )
    assert result.exit_code == 0, result.output
    parameters = server.runs[0]["runtime_config"]["parameters"]
    assert RunConfig.load(parameters.pop("config")) == RunConfig.load("demo")
    assert parameters == {"seed": 3, "max_epochs": 2, "data_interval_end": "2026-01-01"}
    assert "service_account" not in server.runs[0]
    command("submit", "--service-account", "pipeline-runner")
    assert server.runs[1]["service_account"] == "pipeline-runner"
    assert server.runs[1]["runtime_config"]["parameters"] == {}
    mounts = "volumes: [{claim: tsa-champion, mount: /champion}]"
    site = tmp_path / "site.yaml"
    site.write_text(f"stages: {{validate_events: {{{mounts}}}, compare_champion: {{{mounts}}}}}\n")
    command("submit", "--champion", "/champion", "--promote", "--stages", str(site))
    assert server.runs[2]["runtime_config"]["parameters"] == {"champion": "/champion", "promote": True}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-p", "max_epoch=2"), "no input 'max_epoch': did you mean 'max_epochs'?"),
        (("-p", "colour=red"), "no input 'colour': there are "),
        (("-p", "seed=three"), "seed = 'three' is no whole number"),
        (("-p", "seed=1.5", "-p", "x=1"), "seed = '1.5' is no whole number; the pipeline has no input 'x'"),
        (("-p", "seed"), "'seed' is no NAME=VALUE"),
        (("-p", "seed=1", "-p", "seed=2"), "'seed' is given twice"),
        (("--seed", "1", "-p", "seed=2"), "seed: given as an option and with --param"),
        (("--data-interval-end", "yesterday"), "'yesterday' is no moment"),
        (("--config", "demoo"), "no description 'demoo'"),
        (("--config", "handbook"), "give the file with --events"),
        (("--stages", "nowhere.yaml"), "nowhere.yaml"),
        (("--image", "tsa python"), "must be an image reference"),
        (("--events", "orders.parquet"), "a cluster does not see the files of this machine"),
        (
            ("--events", "/data/orders.parquet"),
            "no volume of the stage validate_events, which mounts none",
        ),
        (("--champion", "/champion"), "lies on no volume of the stage validate_events"),
        (("--champion", "champion"), "a cluster does not see the files of this machine"),
        (("--config", "CONFIG"), "train_job.shared_dir '/shared' lies on no volume of the stage train_model"),
        (
            ("--config", "CONFIG", "--stages", "STAGES"),
            "is stopped after 7200 s (timeout_s), before",
        ),
    ],
)
def test_wrong_arguments_stop_before_anything_is_sent(
    server: KfpServer, command, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    files = {"CONFIG": tmp_path / "run.yaml", "STAGES": tmp_path / "stages.yaml"}
    description = RunConfig.load("demo").model_dump(mode="json", exclude_unset=True)
    files["CONFIG"].write_text(json.dumps(description | {"train_job": {"shared_dir": "/shared"}}))
    files["STAGES"].write_text(
        "stages: {train_model: {timeout_s: 7200, volumes: [{claim: shared, mount: /shared}]}}\n"
    )
    result = command("submit", *(str(files.get(one, one)) for one in arguments))
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert server.requests == []


@pytest.mark.parametrize(
    "path", ["names", "/pipelines", "/versions", "upload_version", "/experiments", "/runs"]
)
@pytest.mark.parametrize("done", [False, True], ids=["refused", "done all the same"])
def test_an_answer_5xx_is_tried_again_and_nothing_is_made_twice(
    server: KfpServer, command, path: str, done: bool
) -> None:
    server.faults = [Fault(503, path=path, method=method, done=done) for method in ("GET", "POST")]
    result = command("submit")
    assert result.exit_code == 0, result.output
    made = (server.pipelines, server.versions, server.uploads, server.experiments, server.runs)
    assert [len(things) for things in made] == [1, 1, 1, 1, 1]
    assert len([fault for fault in server.faults if fault.method == "POST"]) == (
        path in ("names", "/versions")
    )


@pytest.mark.parametrize("path", ["/pipelines", "/experiments"])
def test_what_somebody_else_makes_at_the_same_moment_is_used(server: KfpServer, command, path: str) -> None:
    server.faults = [Fault(409, path=path, end=True, method="POST", done=True)]  # there, but not by this one
    result = command("submit")
    assert result.exit_code == 0, result.output
    assert server.faults == []
    assert (len(server.pipelines), len(server.experiments), len(server.runs)) == (1, 1, 1)


def test_a_conflict_without_a_cause_is_told(server: KfpServer, command) -> None:
    server.faults = [Fault(409, path="/pipelines", end=True, method="POST")]
    result = command("submit")
    assert result.exit_code == 1
    assert "refuses POST /pipelines (409: out of order)" in result.output


def test_runs_of_the_same_name_are_not_mixed_up(server: KfpServer, command) -> None:
    command("submit", "--run-name", "mine")
    for done in (False, True):
        server.faults = [Fault(503, path="/v2beta1/runs", method="POST", done=done)]
        assert "/#/runs/details/run-" in command("submit", "--run-name", "mine").output
    assert [run["display_name"] for run in server.runs] == ["mine"] * 3


def test_a_server_that_keeps_failing_is_named(server: KfpServer, command) -> None:
    server.faults = [Fault(503) for _ in range(9)]
    result = command("submit")
    assert result.exit_code == 1
    assert f"Error: {server.host} fails with 503 on GET /experiments: out of order" in result.output
    assert len(server.requests) == 5


def test_an_expired_token_is_explained_and_not_tried_again(
    server: KfpServer, command, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("old-token")
    result = command("submit")
    assert result.exit_code == 1
    assert (
        "does not accept the token (401: Unauthenticated: Bearer ***): it is missing, expired"
        in result.output
    )
    assert "old-token" not in result.output
    assert len(server.requests) == 1


def test_a_token_that_is_renewed_meanwhile_is_read_again(server: KfpServer, command, tmp_path: Path) -> None:
    server.token = "renewed"
    (tmp_path / "token").write_text("renewed")
    assert command("submit").exit_code == 0


def test_another_namespace_is_refused_with_its_name(command) -> None:
    result = command("submit", "--namespace", "elsewhere")
    assert result.exit_code == 1
    assert "access in namespace 'elsewhere' is refused (403: User is not authorized" in result.output
    assert "--namespace" in result.output


def test_a_wrong_path_is_not_taken_for_an_absent_pipeline(server: KfpServer, command) -> None:
    result = command("submit", "--host", server.host.removesuffix("/pipeline"))
    assert result.exit_code == 1
    assert "does not know GET /experiments (404: nothing here)" in result.output
    assert "ends in /pipeline" in result.output
    assert server.pipelines == []


def test_a_web_page_is_not_taken_for_an_answer(server: KfpServer, command) -> None:
    server.faults = [Fault(404, path="/names", body=b"<html>", headers={"Content-Type": "text/html"})]
    assert "does not know GET /pipelines/names/tsa-pipeline (404)" in command("submit").output
    server.faults = [Fault(200, body=b"<html>log in</html>", headers={"Content-Type": "text/html"})]
    assert "without JSON: this is no Kubeflow Pipelines API" in command("submit").output
    login = {"Location": "https://dex.example/auth?state=secret"}
    server.faults = [Fault(302, body=b"", headers=login)]
    result = command("submit")
    assert "(it leads to https://dex.example/auth)" in result.output
    assert "secret" not in result.output
    assert result.exit_code == 1


def test_an_unreachable_host_is_explained(command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        port = taken.getsockname()[1]
        result = command("submit", "--host", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert f"http://127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused)" in result.output


def test_a_server_without_tls_is_explained(server: KfpServer, command) -> None:
    result = command("submit", "--host", server.host.replace("http:", "https:"))
    assert result.exit_code == 1
    assert "no trusted connection" in result.output
    assert "write http:// where the server speaks no TLS" in result.output


def test_an_archived_experiment_is_explained(server: KfpServer, command) -> None:
    server.experiments.append(
        {"experiment_id": "old", "display_name": "tsa-pipeline", "storage_state": "ARCHIVED"}
    )
    assert "experiment 'tsa-pipeline' is archived" in command("submit").output
    assert server.runs == []


def test_without_a_host_nothing_is_sent() -> None:
    result = CliRunner().invoke(pipeline.main, ["submit"])
    assert result.exit_code == 1
    assert "no host: give --host or KF_PIPELINES_ENDPOINT" in result.output


def test_no_secret_is_compiled_in(server: KfpServer, command) -> None:
    assert command("submit").exit_code == 0
    sent = server.uploads[0].decode() + json.dumps(
        [server.runs, server.versions, server.pipelines, server.experiments]
    )
    assert server.token not in sent


def test_a_section_that_a_cluster_does_not_read_is_said(command, tmp_path: Path) -> None:
    description = tmp_path / "run.json"
    description.write_text(RunConfig.load("demo").changed(tracking={}).model_dump_json(exclude_unset=True))
    assert (
        "the section `tracking` is for runs on this machine"
        in command("submit", "--config", str(description)).output
    )
    assert "tracking" not in command("submit").output
