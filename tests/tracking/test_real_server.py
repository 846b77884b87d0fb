"""The same against a real MLflow server, in an environment of its own, started by the test.

Name its environment: `TSA_MLFLOW_ENV=/path/to/venv` (python -m venv /path/to/venv; pip install mlflow).
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.recorded_run import WEIGHTS, RecordedRun, contents

from launcher.local.tracker import NotRecorded, Tracker, record
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.tracking.in_mlflow import connect
from tsa_model.tracking.models import MLflowModels, ModelEntry

pytestmark = pytest.mark.slow

VARIABLE = "TSA_MLFLOW_ENV"
EXPERIMENT = "tsa-pipeline"


class Server:
    """A server that can be stopped and started again over the same data."""

    def __init__(self, program: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        store, files = self._folder / "mlflow.db", self._folder / "files"
        options = ["--backend-store-uri", f"sqlite:///{store}", "--artifacts-destination", str(files)]
        options += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self._process = subprocess.Popen(
            [str(self._program), "server", *options],
            cwd=self._folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 240
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.address}/health", timeout=2).ok:
                    return
            except requests.exceptions.RequestException:
                time.sleep(0.5)
        raise AssertionError("the MLflow server did not start within four minutes")

    def stop(self) -> None:
        """Kill it, and wait until it is gone."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    program = Path(os.environ.get(VARIABLE, "")) / "bin" / "mlflow"
    if not os.environ.get(VARIABLE) or not program.is_file():
        pytest.skip(f"no MLflow server: name an environment that has mlflow in {VARIABLE}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = tmp_path / "server"
    folder.mkdir()
    made = Server(program, folder)
    made.start()
    yield made
    made.stop()


def only_run(server: Server) -> Any:
    client = connect(server.address)
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    return run


def test_a_run_through_an_outage_of_a_real_server(server: Server, tmp_path: Path) -> None:
    run = RecordedRun(tmp_path, {"uri": server.address})
    with Tracker(TrackingConfig(uri=server.address, patience_s=60)) as tracker:
        run.train()
        tracker.start(run.folder)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            client = connect(server.address)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment and client.search_runs([experiment.experiment_id], "metrics.`val/auroc` > 0"):
                break
            time.sleep(0.5)
        assert only_run(server).info.status == "RUNNING"
        server.stop()
        run.end_training()
        run.judge()
        before = contents(run.folder)
    assert f"tsa track {run.folder}" in tracker.outcome
    with pytest.raises(NotRecorded):
        record(run.folder, server.address, EXPERIMENT)
    assert contents(run.folder) == before
    server.start()
    assert "recorded in MLflow" in record(run.folder, server.address, EXPERIMENT)
    assert "was recorded before" in record(run.folder, server.address, EXPERIMENT)
    found, client = only_run(server), connect(server.address)
    assert found.info.status == "FINISHED"
    assert found.data.tags["tsa.sha256.weights"] == WEIGHTS
    curve = [(one.step, one.value) for one in client.get_metric_history(found.info.run_id, "val/auroc")]
    assert curve == [(1, 0.5), (2, 0.6), (3, 0.7)]
    reports = client.list_artifacts(found.info.run_id, "reports/check_equivalence")
    assert [one.path for one in reports] == ["reports/check_equivalence/report.html"]
    assert contents(run.folder) == before


def test_a_real_registry_of_models_follows_the_champion(server: Server) -> None:
    models = MLflowModels(server.address, "tsa-fraud")
    assert models.champion() is None

    def entries(champion: str) -> list[ModelEntry]:
        return [
            ModelEntry(name, f"s3://bucket/models/{name}", name, {"tsa.gate": "g"}, name == champion)
            for name in ("a" * 16, "b" * 16)
        ]

    assert models.follow(entries("a" * 16)) > 0
    assert models.champion() == "a" * 16
    assert models.follow(entries("b" * 16)) == 1
    assert models.champion() == "b" * 16
    assert models.follow(entries("a" * 16)) == 1  # back
    assert models.follow(entries("a" * 16)) == 0
    assert models.champion() == "a" * 16
