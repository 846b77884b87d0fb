"""The process that follows a run records what it can; whatever becomes of it, the run does not notice."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.recorded_run import RecordedRun, contents
from support.tiny_pipeline import tiny

import pipeline
from launcher.compilation import compiled_documents
from launcher.local.run import run_locally
from launcher.local.tracker import Tracker, record
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.tracking.in_mlflow import connect


def recorded(store: Path) -> list[tuple[str, str]]:
    client = connect(str(store))
    experiment = client.get_experiment_by_name("tsa-pipeline")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return [(run.info.run_name, run.info.status) for run in found]


def test_a_killed_tracker_leaves_the_run_as_it_is_and_track_completes_the_record(tmp_path: Path) -> None:
    run, store = RecordedRun(tmp_path, {"uri": str(tmp_path / "store")}), tmp_path / "store"
    with Tracker(TrackingConfig(uri=str(store))) as tracker:
        run.train()
        tracker.start(run.folder)
        end = time.monotonic() + 60
        while not recorded(store) and time.monotonic() < end:
            time.sleep(0.2)
        assert recorded(store) == [("demo-1", "RUNNING")]
        assert tracker._child is not None
        os.kill(tracker._child.pid, signal.SIGKILL)
        run.end_training()
        run.judge()
        before = contents(run.folder)
    assert "the tracker was killed" in tracker.outcome
    assert f"tsa track {run.folder}" in tracker.outcome
    done = CliRunner().invoke(pipeline.main, ["track", str(run.folder)])
    assert (done.exit_code, done.output) == (
        0,
        f"demo-1 recorded in MLflow at {store}, experiment 'tsa-pipeline'\n",
    )
    assert recorded(store) == [("demo-1", "FINISHED")]
    assert contents(run.folder) == before


def test_without_a_section_nothing_is_started(tmp_path: Path) -> None:
    with Tracker(None) as tracker:
        tracker.start(tmp_path)
        assert tracker._child is None
    assert tracker.outcome == ""


def test_track_refuses_what_is_no_run_in_a_line(tmp_path: Path) -> None:
    refused = CliRunner().invoke(pipeline.main, ["track", str(tmp_path)])
    assert refused.exit_code == 1
    assert (
        refused.output == f"Error: {tmp_path} is no run: it has no arguments.json; tsa runs lists the runs\n"
    )


def run_tiny(runs: Path, tracker: Tracker, count: int = 3) -> Path:
    console = Console(file=io.StringIO(), width=200)
    with tracker:
        run_locally(compiled_documents(tiny), {"count": count}, "tiny", runs, console, tracker.start)
    return (runs / "latest").resolve()


def outputs(folder: Path) -> dict[str, bytes]:
    """What the stages wrote, without the places they wrote it to."""
    found = contents(folder / "stages")
    return {name: content for name, content in found.items() if not name.endswith("executor_output.json")}


@pytest.mark.slow
def test_a_run_is_the_same_with_without_and_with_a_tracker_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    plain = run_tiny(tmp_path / "plain", Tracker(None))
    tracked = run_tiny(tmp_path / "tracked", whole := Tracker(TrackingConfig()))
    away = run_tiny(tmp_path / "away", broken := Tracker(TrackingConfig(uri="http://127.0.0.1:9")))
    assert outputs(plain) == outputs(tracked) == outputs(away)
    assert "in MLflow at" in whole.outcome
    assert recorded(tmp_path / "tracked" / "mlruns") == [(tracked.name, "FINISHED")]
    assert "The record in MLflow is not whole (MLflow at http://127.0.0.1:9" in broken.outcome
    store = tmp_path / "later"
    record(away, str(store), "tsa-pipeline")
    assert recorded(store) == [(away.name, "FINISHED")]


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.5, 4.0, 7.0, 10.0])
def test_a_tracker_killed_in_the_middle_of_a_run_costs_nothing(tmp_path: Path, after_s: float) -> None:
    plain = run_tiny(tmp_path / "plain", Tracker(None))

    class Killed(Tracker):
        def start(self, folder: Path) -> None:
            super().start(folder)
            assert self._child is not None
            subprocess.Popen(["sh", "-c", f"sleep {after_s}; kill -9 {self._child.pid} 2> /dev/null"])

    tracker = Killed(TrackingConfig())
    run = run_tiny(tmp_path / "killed", tracker)
    assert outputs(run) == outputs(plain)
    before = contents(run)
    record(run, str(tmp_path / "killed" / "mlruns"), "tsa-pipeline")
    assert recorded(tmp_path / "killed" / "mlruns") == [(run.name, "FINISHED")]
    assert contents(run) == before
