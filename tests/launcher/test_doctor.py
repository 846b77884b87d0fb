"""The doctor names what is missing, each defect by its own words, and finds nothing where nothing is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kfp_faults import Fault
from support.kfp_server import KfpServer
from support.kubernetes_stub import StubCluster, serve

from launcher.doctor import machine

IMAGE = "registry.example/tsa-python@sha256:" + "0123456789abcdef" * 4
SITE = """
pipeline_root: s3://bucket/tsa
image_pull_secrets: [registry]
stages:
  train_model:
    volumes: [{claim: tsa-shared, mount: /shared}]
    secrets: [{name: store, env: {key: AWS_SECRET_ACCESS_KEY}}]
"""
NAMESPACE = "/api/v1/namespaces/fraud"
OBJECTS: dict[str, Any] = {
    f"{NAMESPACE}/serviceaccounts/tsa-pipeline": {},
    f"{NAMESPACE}/persistentvolumeclaims/tsa-shared": {"status": {"phase": "Bound"}},
    f"{NAMESPACE}/secrets/store": {"data": {"key": "c2VjcmV0LW9mLXRoZS1zdG9yZQ=="}},
    f"{NAMESPACE}/secrets/registry": {"data": {".dockerconfigjson": "e30="}},
    f"{NAMESPACE}/configmaps/kfp-launcher": {"data": {"providers": ""}},
    "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed": {},
}


def jwt(**claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{middle}.c2lnbmF0dXJl"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a namespace by path; a number instead of one is a refusal."""
    objects, stub = dict(OBJECTS), StubCluster()

    def answer(method: str, url: str, body: Any) -> tuple[int, Any]:
        found = objects.get(url, 404)
        return (found, {"message": "no"}) if isinstance(found, int) else (200, {"metadata": {}} | found)

    stub.answer = answer  # type: ignore[method-assign]
    with serve(stub, tmp_path / "kubeconfig"):
        yield objects


@pytest.fixture
def doctor(command, tmp_path: Path, server: KfpServer):  # type: ignore[no-untyped-def]
    """Run the command on a place that lacks nothing, or with what a test changes; state → texts."""
    (tmp_path / "site.yaml").write_text(SITE)
    description = tmp_path / "run.yaml"
    from tsa_model.settings.run import RunConfig

    content = RunConfig.load("demo").model_dump(mode="json", exclude_unset=True)
    description.write_text(json.dumps(content | {"train_job": {"shared_dir": "/shared"}}))
    everything = {
        "--stages": str(tmp_path / "site.yaml"),
        "--image": IMAGE,
        "--config": str(description),
        "--kubeconfig": str(tmp_path / "kubeconfig"),
        "--service-account": "tsa-pipeline",
        "--runs": str(tmp_path / "runs"),
    }

    def run(**changes: str) -> tuple[int, dict[str, dict[str, str]]]:
        options = everything | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        result = command("doctor", "--json", *(word for pair in options.items() for word in pair))
        found: dict[str, dict[str, str]] = {"ok": {}, "note": {}, "missing": {}}
        for one in json.loads(result.output):
            found[one["state"]][one["what"]] = f"{one['found']} → {one['remedy']}"
        return result.exit_code, found

    return run


def test_where_nothing_is_missing_nothing_is_named(doctor, cluster: dict[str, Any]) -> None:
    status, found = doctor()
    assert found["missing"] == {}
    assert status == 0
    assert "secret store" in found["ok"]
    assert "c2VjcmV0" not in str(found)


@pytest.mark.parametrize(
    ("path", "change", "what", "words"),
    [
        ("serviceaccounts/tsa-pipeline", 404, "service account tsa-pipeline", "deploy/rbac.yaml"),
        ("persistentvolumeclaims/tsa-shared", 404, "volume claim tsa-shared", "there is none in namespace"),
        (
            "persistentvolumeclaims/tsa-shared",
            {"status": {"phase": "Lost"}},
            "volume claim tsa-shared",
            "its volume is lost",
        ),
        ("secrets/store", 404, "secret store", "deploy/secrets.example.yaml"),
        ("secrets/store", {"data": {"other": ""}}, "secret store", "it has no key key"),
        ("secrets/registry", {"data": {}}, "secret registry", "it has no key .dockerconfigjson"),
        ("configmaps/kfp-launcher", 404, "config map kfp-launcher", "credentials of s3://bucket/tsa"),
    ],
)
def test_what_the_namespace_lacks(
    doctor, cluster: dict[str, Any], path: str, change: Any, what: str, words: str
) -> None:
    cluster[f"{NAMESPACE}/{path}"] = change
    status, found = doctor()
    assert status == 1
    assert list(found["missing"]) == [what]
    assert words in found["missing"][what]


def test_a_missing_training_runtime_and_a_missing_right(doctor, cluster: dict[str, Any]) -> None:
    cluster[list(OBJECTS)[-1]] = 404
    cluster[f"{NAMESPACE}/secrets/store"] = 403
    status, found = doctor()
    assert "Kubeflow Trainer" in found["missing"]["ClusterTrainingRuntime torch-distributed"]
    assert "may not look" in found["note"]["secret store"]
    assert status == 1


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({"namespace": ""}, "server", "give --namespace"),
        ({"namespace": "elsewhere"}, "right to see runs", "is refused (403"),
        ({"host": "HOST"}, "server", "ends in /pipeline"),
        ({"host": "http://127.0.0.1:9"}, "server", "cannot be reached"),
        ({"image": "localhost/tsa-python:dev"}, "image", "a cluster cannot pull it"),
        ({"config": "nowhere"}, "settings", "nowhere"),
        ({"kubeconfig": "nowhere"}, "kubeconfig", "cannot be used"),
        ({"token_file": "nowhere"}, "token", "cannot be read"),
    ],
)
def test_what_the_connection_lacks(
    doctor, server: KfpServer, cluster: dict[str, Any], changes: dict[str, str], what: str, words: str
) -> None:
    changes = {
        name: server.host.removesuffix("/pipeline") if value == "HOST" else value
        for name, value in changes.items()
    }
    status, found = doctor(**changes)
    assert status == 1
    assert words in found["missing"][what]


def test_what_the_token_says_of_itself(
    doctor, server: KfpServer, cluster: dict[str, Any], tmp_path: Path
) -> None:
    def token(text: str) -> dict[str, dict[str, str]]:
        server.token = text.strip()
        (tmp_path / "token").write_text(text)
        return doctor()[1]  # type: ignore[no-any-return]

    good = {"aud": ["pipelines.kubeflow.org"], "exp": time.time() + 7200}
    assert "good for 2.0 hours" in token(jwt(**good))["ok"]["token"]
    assert "it expired at" in token(jwt(**good | {"exp": 1}))["missing"]["token"]
    assert "--audience pipelines.kubeflow.org" in token(jwt(**good | {"aud": "other"}))["note"]["token"]
    assert "2 lines" in token("one-token\ntwo-token\n")["missing"]["token"]


def test_what_every_question_would_answer_is_said_once(
    doctor, cluster: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("another-token\n")
    status, found = doctor(token_file=str(tmp_path / "other"))
    assert status == 1
    assert list(found["missing"]) == ["server"]
    assert "does not accept the token" in found["missing"]["server"]
    assert "not asked for" in found["note"]["rights, experiment"]


def test_a_server_of_something_else_and_an_archived_experiment(
    doctor, server: KfpServer, cluster: dict[str, Any]
) -> None:
    server.faults = [Fault(200, path="/healthz", body=b'{"status": "ok"}')]
    assert "no Kubeflow Pipelines API of version 2" in doctor()[1]["missing"]["server"]
    server.experiments = [{"experiment_id": "1", "display_name": "tsa-pipeline", "storage_state": "ARCHIVED"}]
    assert "is archived" in doctor()[1]["missing"]["experiment"]


def test_what_this_machine_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(runs: Path = tmp_path) -> dict[str, str]:
        return {one.what: one.found for one in machine.check_machine(runs) if one.state == "missing"}

    assert missing() == {}
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file" in missing(file / "runs")["folder of runs"]
    monkeypatch.setattr(machine, "LEAST_DISK", 2**60)
    monkeypatch.setattr(machine, "LEAST_MEMORY", 2**60)
    monkeypatch.setattr(machine, "OLDEST_PYTHON", (4, 0))
    wanted = ["torch>=99", "a-package-that-nobody-has", "numpy"]
    monkeypatch.setattr(machine.metadata, "requires", lambda name: wanted)
    found = missing()
    assert sorted(found) == ["Python", "folder of runs", "memory", "packages", "scratch folder"]
    assert "torch is " in found["packages"]
    assert "a-package-that-nobody-has is not installed" in found["packages"]
    assert "numpy" not in found["packages"]


def test_a_place_with_defects_is_a_table_for_people(command, tmp_path: Path) -> None:
    result = command("doctor", "--namespace", "elsewhere", "--runs", str(tmp_path))
    assert result.exit_code == 1
    assert "MISSING" in result.output
    assert "→" in result.output
