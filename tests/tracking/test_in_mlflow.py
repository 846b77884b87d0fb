"""MLflow's record of a run: whole, once, and the same whatever happened to the process that writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.recorded_run import WEIGHTS, RecordedRun, contents

from launcher.local.tracker import NotRecorded, record
from launcher.records.tracked import recording_of
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.tracking.in_mlflow import MLflow, TrackingProblem, connect

EXPERIMENT = "tsa-pipeline"
READS = ("get_", "search_")


class Killed(BaseException):
    """Ends a process as a signal would: nothing that catches exceptions sees it."""


class Fragile:
    """MLflow's client, of a process that dies before or after its n-th request that changes something."""

    def __init__(self, client: Any, dies_at: int, after: bool) -> None:
        self._client, self._left, self._after = client, dies_at, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name.startswith(READS):
            return method

        def call(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            result = method(*arguments, **named)
            if self._left == 0:
                raise Killed
            return result

        return call


def runs_in(store: Path) -> list[Any]:
    client = connect(str(store))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def shown(store: Path) -> dict[str, Any]:
    """What people see of the only run, without MLflow's own ids."""
    (run,) = runs_in(store)
    client = connect(str(store))
    files = contents(Path(run.info.artifact_uri.removeprefix("file://")))
    history = {
        name: [
            (one.step, one.value, one.timestamp) for one in client.get_metric_history(run.info.run_id, name)
        ]
        for name in run.data.metrics
    }
    about = run.info.status, run.info.start_time, run.info.end_time, run.info.run_name
    return {
        "about": about,
        "tags": run.data.tags,
        "params": run.data.params,
        "files": files,
        "curves": history,
    }


def test_a_run_is_recorded_whole_and_once(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path).whole()
    before, store = contents(run.folder), tmp_path / "store"
    assert "recorded in MLflow" in record(run.folder, str(store), EXPERIMENT)
    first = contents(store)
    assert "was recorded before" in record(run.folder, str(store), EXPERIMENT)
    assert contents(store) == first
    assert contents(run.folder) == before
    found = shown(store)
    assert found["about"][0] == "FINISHED"
    assert found["params"]["seed"] == "7"
    assert found["params"]["training.batch_size"] == "256"
    assert found["params"]["model.num_heads"] == "4"
    assert [(step, value) for step, value, _ in found["curves"]["val/auroc"]] == [
        (1, 0.5),
        (2, 0.6),
        (3, 0.7),
    ]
    assert [value for _, value, _ in found["curves"]["lr"]] == [0.1, 0.05, pytest.approx(0.1 / 3)]
    assert found["tags"]["tsa.sha256.weights"] == WEIGHTS
    assert found["tags"]["tsa.gate"] == "abc"
    assert found["tags"]["tsa.check.Equivalence gate"] == "passed: 9 checks"
    assert found["tags"]["tsa.stage.train_model"] == "succeeded, 12.5 s, val/auroc 0.7000"
    assert found["files"]["reports/check_equivalence/report.html"] == b"<p>passed</p>"
    assert "documents/check_equivalence/verdict.json" in found["files"]
    assert "curves/version_0/metrics.csv" in found["files"]


@pytest.mark.parametrize(
    "after", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"]
)
def test_a_process_killed_at_any_request_leaves_a_record_that_the_next_one_completes(
    tmp_path: Path, after: bool
) -> None:
    run = RecordedRun(tmp_path).whole()
    recording = recording_of(run.folder)
    record(run.folder, str(tmp_path / "whole"), EXPERIMENT)
    expected = shown(tmp_path / "whole")
    deaths = 0
    while True:
        store = tmp_path / f"store-{deaths}"
        mlflow = MLflow(str(store), EXPERIMENT)
        mlflow._client = Fragile(mlflow._client, deaths + 1, after)
        try:
            mlflow.write(recording)
            break
        except Killed:
            deaths += 1
        record(run.folder, str(store), EXPERIMENT)
        assert shown(store) == expected
    assert deaths > 12


def test_a_run_is_recorded_as_it_grows_and_ends_as_if_recorded_once(tmp_path: Path) -> None:
    run, store = RecordedRun(tmp_path), tmp_path / "store"
    mlflow = MLflow(str(store), EXPERIMENT)
    record(run.folder, str(store), EXPERIMENT, mlflow)
    run.train(epochs=3)
    record(run.folder, str(store), EXPERIMENT, mlflow)
    growing = shown(store)
    assert len(growing["curves"]["val/auroc"]) == 3
    run.end_training()
    record(run.folder, str(store), EXPERIMENT, mlflow)
    run.judge(passed=False)
    record(run.folder, str(store), EXPERIMENT, mlflow)
    record(run.folder, str(tmp_path / "once"), EXPERIMENT)
    grown, once = shown(store), shown(tmp_path / "once")
    for each in (grown, once):  # of a growing curve nobody knows yet how long it will be
        each["curves"] = {name: [one[:2] for one in curve] for name, curve in each["curves"].items()}
    assert grown == once
    assert grown["about"][0] == "FAILED"
    assert "the network is another one" in grown["tags"]["tsa.stage.check_equivalence"]


def test_a_run_that_lost_answers_made_twice_becomes_one(tmp_path: Path) -> None:
    run, store = RecordedRun(tmp_path).whole(), tmp_path / "store"
    recording = recording_of(run.folder)
    mlflow = MLflow(str(store), EXPERIMENT)
    for _ in range(2):
        connect(str(store)).create_run(mlflow._experiment_id, tags={"tsa.run": recording.identity})
    mlflow.write(recording)
    assert len(runs_in(store)) == 1


def test_the_same_run_elsewhere_is_the_same_and_another_is_not(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path).whole()
    moved = run.folder.rename(tmp_path / "elsewhere")
    first = recording_of(moved)
    again = recording_of(moved.rename(tmp_path / "demo-1"))
    other = RecordedRun(tmp_path, name="demo-2").whole()
    assert first.identity == again.identity
    assert recording_of(other.folder).identity != first.identity


def test_a_server_that_is_away_is_said_in_a_line_without_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordedRun(tmp_path).whole()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "ein-geheimer-schluessel")
    before = contents(run.folder)
    with pytest.raises(NotRecorded, match=r"^MLflow at http://127\.0\.0\.1:9") as caught:
        record(run.folder, "http://127.0.0.1:9", EXPERIMENT)
    assert "ein-geheimer" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(run.folder) == before


def test_a_deleted_experiment_is_said(tmp_path: Path) -> None:
    mlflow = MLflow(str(tmp_path), EXPERIMENT)
    connect(str(tmp_path)).delete_experiment(mlflow._experiment_id)
    with pytest.raises(TrackingProblem, match="was deleted: restore it, or name another"):
        MLflow(str(tmp_path), EXPERIMENT)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no run: it has no arguments\.json"):
        recording_of(tmp_path)
    (tmp_path / "arguments.json").write_text("{}")
    with pytest.raises(ValueError, match=r"has no run\.json: a former version made it"):
        recording_of(tmp_path)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("https://user:secret@mlflow.example", "holds a log-in"),
        ("mlruns", "neither an address like"),
        ("sqlite:///mlflow.db", "neither an address like"),
    ],
)
def test_an_address_that_does_not_fit_is_refused(uri: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrackingConfig(uri=uri)


def test_the_record_lies_beside_the_runs_unless_said_otherwise(tmp_path: Path) -> None:
    assert TrackingConfig().place(tmp_path) == str(tmp_path / "mlruns")
    assert TrackingConfig(uri="https://mlflow.example/").place(tmp_path) == "https://mlflow.example"
