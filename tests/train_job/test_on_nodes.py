"""The training stage on a TrainJob: what goes to the nodes, what comes back, what is left behind."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from support.kubernetes_stub import STAGE_POD, StubCluster, node_pod, on_nodes, verb
from support.local_nodes import LocalNodes
from support.small_training import small_run

import components
from train_job.errors import TrainJobError
from train_job.manifest import job_name, train_job
from train_job.pod import StagePod
from train_job.stage import train_model
from tsa_model import training
from tsa_model.files import write_json
from tsa_model.network.checkpoint import read_description
from tsa_model.sequences import SequenceStore
from tsa_model.simulation import simulate_orders

ROOT = Path(__file__).parents[2]


@dataclass
class Trained:
    """A store, and what one process made of it."""

    store: Path
    model: Path
    log: Path
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    run = small_run()
    assert run.simulation is not None
    SequenceStore.build(simulate_orders(run.simulation), run.dataset, folder / "store")
    metrics = training.train_model(folder / "store", run, folder / "model", folder / "log")
    return Trained(folder / "store", folder / "model", folder / "log", metrics)


def paths(job: dict[str, Any]) -> dict[str, Path]:
    """Option of `tsa_model.train` → path, from a TrainJob."""
    arguments = job["spec"]["trainer"]["args"]
    place = arguments.index("tsa_model.train") + 1
    return {
        option.removeprefix("--"): Path(value)
        for option, value in zip(arguments[place::2], arguments[place + 1 :: 2], strict=True)
    }


def finish(kubernetes: StubCluster, trained: Trained, job: dict[str, Any]) -> None:
    """Do what the nodes do, with a model that is there already."""
    places = paths(job)
    assert SequenceStore.open(places["store"]).digest == SequenceStore.open(trained.store).digest
    shutil.copytree(trained.model, places["model"])
    shutil.copytree(trained.log, places["training-log"], dirs_exist_ok=True)
    write_json(places["metrics"], trained.metrics)
    kubernetes.set_condition(job, "Complete")


def test_the_stage_fetches_what_the_nodes_made(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    kubernetes.on_create = lambda job: finish(kubernetes, trained, job)
    outputs = {name: dsl.Artifact(name=name, uri=str(tmp_path / name)) for name in ("model", "logs")}
    components.train_model.python_func(
        store=dsl.Artifact(uri=str(trained.store)),
        config=on_nodes(shared).model_dump_json(),
        seed=3,
        max_epochs=7,
        **outputs,
    )
    made = read_description(tmp_path / "model")
    assert made.weights_sha256 == trained.metrics["weights_sha256"]
    assert outputs["model"].metadata["key_figure"] == trained.metrics["key_figure"]
    assert list((tmp_path / "logs").rglob("metrics.csv"))
    (job,) = kubernetes.created
    assert job["spec"]["trainer"]["numNodes"] == 2
    assert kubernetes.deleted == [job["metadata"]["name"]]
    assert list(shared.iterdir()) == [], "nothing stays on the shared volume"


def test_the_nodes_read_the_settings_of_this_run(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    seen: list[dict[str, Any]] = []

    def on_create(job: dict[str, Any]) -> None:
        seen.append(json.loads(paths(job)["config"].read_text(encoding="utf-8")))
        finish(kubernetes, trained, job)

    kubernetes.on_create = on_create
    train_model(trained.store, on_nodes(shared), tmp_path / "m", tmp_path / "l", seed=3, max_epochs=7)
    (run,) = seen
    assert (run["training"]["seed"], run["training"]["max_epochs"]) == (3, 7)
    assert run["training"]["num_nodes"] == 2


def test_without_a_train_job_it_trains_here(trained: Trained, tmp_path: Path) -> None:
    metrics = train_model(trained.store, small_run(), tmp_path / "model", tmp_path / "log")
    assert metrics["weights_sha256"] == trained.metrics["weights_sha256"]


@pytest.mark.parametrize(("keep", "stays"), [("never", False), ("failed", True), ("always", True)])
def test_a_failure_tells_the_nodes_own_error(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path, keep: str, stays: bool
) -> None:
    def on_create(job: dict[str, Any]) -> None:
        write_json(
            paths(job)["training-log"] / "error.json", {"type": "ValueError", "message": "loss is nan"}
        )
        kubernetes.set_condition(job, "Failed", "JobsFailed", "jobset failed")

    kubernetes.on_create = on_create
    with pytest.raises(TrainJobError, match=r"(?s)ValueError: loss is nan.*JobsFailed: jobset failed"):
        train_model(trained.store, on_nodes(shared, keep=keep), tmp_path / "model", tmp_path / "log")
    assert bool(kubernetes.jobs) is stays
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("keep", ["never", "always"])
def test_a_finished_train_job_stays_as_configured(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path, keep: str
) -> None:
    kubernetes.on_create = lambda job: finish(kubernetes, trained, job)
    train_model(trained.store, on_nodes(shared, keep=keep), tmp_path / "model", tmp_path / "log")
    assert bool(kubernetes.jobs) is (keep == "always")


def test_a_timed_out_train_job_is_deleted_whatever_is_configured(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    run = on_nodes(shared, keep="always", timeout_minutes=0.002)
    with pytest.raises(TrainJobError, match=r"not complete after 0.002 minutes"):
        train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
    assert kubernetes.deleted == [kubernetes.created[0]["metadata"]["name"]]


def test_an_interrupted_stage_deletes_its_train_job(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    kubernetes.on_look = lambda job, looks: os.kill(os.getpid(), signal.SIGTERM)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        train_model(trained.store, on_nodes(shared), tmp_path / "model", tmp_path / "log")
    assert caught.value.code == 128 + signal.SIGTERM
    assert kubernetes.deleted == [kubernetes.created[0]["metadata"]["name"]]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_an_interrupted_stage_asks_again_while_the_api_is_away(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        kubernetes.failures = [503, 503]
        os.kill(os.getpid(), signal.SIGTERM)

    kubernetes.on_look = on_look
    with pytest.raises(SystemExit):
        train_model(trained.store, on_nodes(shared), tmp_path / "model", tmp_path / "log")
    assert kubernetes.failures == []
    assert kubernetes.deleted == [kubernetes.created[0]["metadata"]["name"]]


def test_what_cannot_be_removed_does_not_hide_the_end(
    kubernetes: StubCluster,
    trained: Trained,
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        kubernetes.set_condition(job, "Failed", "JobsFailed", "jobset failed")
        if looks > 1:
            kubernetes.failures = [403]

    kubernetes.on_look = on_look
    with pytest.raises(TrainJobError, match="JobsFailed: jobset failed"):
        train_model(trained.store, on_nodes(shared, keep="never"), tmp_path / "model", tmp_path / "log")
    assert "could not be removed: cannot delete TrainJob" in capsys.readouterr().out


def test_a_second_attempt_goes_on_with_the_train_job_of_the_first(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    run = on_nodes(shared)
    assert run.train_job is not None
    stage = StagePod.of(kubernetes.pods[STAGE_POD])
    name = job_name(stage, run)
    # The first attempt was killed: its TrainJob goes on, nobody follows it.
    kubernetes.jobs[name] = train_job(name, run, run.train_job, stage, shared / name)
    kubernetes.on_look = lambda job, looks: finish(kubernetes, trained, job) if looks == 3 else None
    metrics = train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
    assert kubernetes.created == []
    assert read_description(tmp_path / "model").weights_sha256 == metrics["weights_sha256"]


def test_a_second_attempt_replaces_a_failed_train_job(
    kubernetes: StubCluster, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    run = on_nodes(shared)
    kubernetes.on_create = lambda job: kubernetes.set_condition(job, "Failed")
    with pytest.raises(TrainJobError):
        train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
    kubernetes.on_create = lambda job: finish(kubernetes, trained, job)
    train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
    first, second = (job["metadata"]["name"] for job in kubernetes.created)
    assert first == second


def test_the_role_grants_what_the_stage_does_and_nothing_more(
    kubernetes: StubCluster,
    trained: Trained,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: set[tuple[str, str, str]] = set()
    answer = kubernetes.answer

    def watched(method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        asked.add(verb(method, url))
        return answer(method, url, body)

    def on_create(job: dict[str, Any]) -> None:
        kubernetes.add_pod(node_pod(job["metadata"]["name"], 0))
        finish(kubernetes, trained, job)

    monkeypatch.setattr(kubernetes, "answer", watched)
    kubernetes.on_create = on_create
    train_model(trained.store, on_nodes(shared), tmp_path / "model", tmp_path / "log")

    manifests = yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text(encoding="utf-8"))
    (role,) = (document for document in manifests if document["kind"] == "Role")
    granted = {
        (group, resource, name)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule["verbs"]
    }
    assert asked == granted


@pytest.fixture
def nodes(kubernetes: StubCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNodes]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    local = LocalNodes(kubernetes, tmp_path)
    kubernetes.on_create, kubernetes.on_look = local.start, local.look
    yield local
    local.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("num_nodes", "devices"), [(2, 1), (1, 2)])
def test_the_captured_command_trains_one_model_in_two_processes(
    nodes: LocalNodes,
    trained: Trained,
    shared: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    num_nodes: int,
    devices: int,
) -> None:
    settings = {"num_nodes": num_nodes, "devices": devices, "batch_size": 64}
    run = on_nodes(shared, settings, poll_seconds=0.5)
    metrics = train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
    assert metrics["epochs"] == 2
    description = read_description(tmp_path / "model")
    assert description.metadata["training"]["num_nodes"] == num_nodes
    n_steps = 2 * math.ceil(len(SequenceStore.open(trained.store).targets("train")) / 128)
    assert description.weights_sha256 == metrics["weights_sha256"]
    assert f'[progress] {{"done": {n_steps}, "total": {n_steps}' in capfd.readouterr().out


@pytest.mark.slow
def test_the_error_of_a_node_reaches_the_stage(
    nodes: LocalNodes, trained: Trained, shared: Path, tmp_path: Path
) -> None:
    run = on_nodes(shared, {"loss": "NoSuchLoss"}, poll_seconds=0.5)
    with pytest.raises(TrainJobError, match=r"(?s)NoSuchLoss.*JobsFailed: a node failed.*last lines of pod"):
        train_model(trained.store, run, tmp_path / "model", tmp_path / "log")
