"""`submit --wait` follows a run to its end, through expired tokens too, and tells each stage's end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.kfp_faults import Fault
from support.kfp_server import KfpServer

from launcher.kubeflow.waiting import FINAL


def task(name: str, state: str, **more: object) -> dict[str, object]:
    return {"display_name": name, "state": state, **more}


def finished(state: str, tasks: list[dict[str, object]]) -> dict[str, object]:
    return {"state": state, "run_details": {"task_details": tasks}}


def test_waiting_ends_with_the_states_of_the_stages(server: KfpServer, command) -> None:
    times = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:01:30.5Z"}
    server.life = [
        {"state": "PENDING"},
        {"state": "RUNNING"},
        finished("RUNNING", [task("Validate events", "RUNNING")]),
        finished(
            "FAILED",
            [
                task("root", "FAILED"),
                task("validate-events-driver", "SUCCEEDED"),
                task("Validate events", "SUCCEEDED", **times),
                task("build-sequences", "FAILED", error={"code": 1, "message": "out of\nmemory"}),
            ],
        ),
    ]
    server.faults = [Fault(502, method="GET", path="/runs/")]
    result = command("submit", "--wait")
    assert result.exit_code == 1
    assert "run: RUNNING\n" in result.output
    assert "Validate events: RUNNING\n" in result.output
    table = {line.split("  ")[0].strip(): line for line in result.output.splitlines()}
    assert "SUCCEEDED" in table["Validate events"]
    assert " 90" in table["Validate events"]
    assert "FAILED" in table["Build sequences"]
    assert "out of memory" in table["Build sequences"]
    assert all("not started" in table[name] for name in ("Train model", "Export ONNX", "Generate scores"))
    assert "FAILED" in table["run"]
    assert "root" not in result.output


@pytest.mark.parametrize("state", ["SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"])
def test_every_final_state_ends_the_waiting(server: KfpServer, command, state: str) -> None:
    server.life = [{}, {"state": "CANCELING"}, {"state": "PAUSED"}, {"state": state}]
    result = command("submit", "--wait")
    assert result.exit_code == (0 if state == "SUCCEEDED" else 1)
    assert f"run: {state}" in result.output
    assert re.search(r"Train model +unknown", result.output)  # this server tells nothing about its tasks
    assert state in FINAL


def test_waiting_goes_on_through_an_expired_token_and_a_log_in_page(
    server: KfpServer, command, tmp_path: Path
) -> None:
    """The token of the file has been renewed by the time it is read again."""
    server.life = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    server.faults = [
        Fault(401, method="GET", path="/runs/", body=b'{"message": "expired"}'),
        Fault(200, method="GET", path="/runs/", body=b"<html>log in</html>"),
        Fault(200, method="GET", path="/runs/", breaks="reset"),
    ]
    result = command("submit", "--wait")
    assert result.exit_code == 0, result.output
    assert "waiting for the server: the server does not accept the token (401: expired)" in result.output


def test_the_errors_of_kubeflows_own_nodes_stand_in_the_row_of_their_stage(
    server: KfpServer, command
) -> None:
    def child(name: str, number: str, parent: str, **more: object) -> dict[str, object]:
        return task(name, "FAILED", task_id=number, parent_task_id=parent, **more)

    tasks = [
        task("tsa-pipeline-x7k2p", "FAILED", task_id="0", error={"code": 1, "message": "child failed"}),
        child("root", "1", "0"),
        child("train-model", "2", "1"),
        child("train-model-driver", "3", "2"),
        child("executor", "4", "2", error={"code": 1, "message": "OOMKilled"}),
        child("retry", "5", "4", error={"code": 1, "message": "never shown twice"}),
    ]
    server.life = [finished("FAILED", tasks)]
    output = command("submit", "--wait").output
    (row,) = [line for line in output.splitlines() if line.startswith("Train model ")]
    assert "OOMKilled" in row
    assert "never shown twice" not in output
    assert "executor" not in output
    (last,) = [line for line in output.splitlines() if line.startswith("run ")]
    assert "child failed" in last


def test_waiting_can_give_up(server: KfpServer, command) -> None:
    server.life = [{"state": "RUNNING"}]
    result = command("submit", "--wait", "--wait-timeout", "0.05")
    assert result.exit_code == 1
    assert "run run-1 is not over after 0.05 s. The run goes on; look at it there: http" in result.output
