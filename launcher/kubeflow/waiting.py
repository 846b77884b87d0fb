"""Follow a run on a cluster to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from rich.table import Table

from launcher.errors import LauncherError
from launcher.kubeflow.api import Json, NoAnswer
from launcher.kubeflow.server import PipelinesServer

FINAL = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
LONGEST_WAIT_S, GROWTH = 15.0, 1.3
OUTAGE_S = 900.0
"""A server that does not answer for longer ends the waiting."""


class WaitedTooLong(LauncherError):
    """The run is not over yet."""


def wait_for_run(
    server: PipelinesServer, run_id: str, tell: Callable[[str], None], timeout_s: float | None = None
) -> Json:
    """Ask for a run until it is over.

    Args:
        server: where it runs.
        run_id: which.
        tell: gets a line whenever a state changes.
        timeout_s: seconds after which to give up; None = never.

    Returns:
        The run in its final state.

    Raises:
        WaitedTooLong: after `timeout_s`.
        NoAnswer: the server has not answered for `OUTAGE_S`.
    """
    began = answered = time.monotonic()
    known: dict[str, str] = {}
    pause = server.connection.poll_s
    while True:
        try:
            run = server.get_run(run_id)
            answered = time.monotonic()
        except NoAnswer as error:
            if time.monotonic() - answered > OUTAGE_S:
                raise
            tell(f"waiting for the server: {error}")
        else:
            states = {"run": state_of(run)} | {task["display_name"]: state_of(task) for task in tasks(run)}
            for name, state in states.items():
                if known.get(name) != state:
                    tell(f"{name}: {state}")
            known = states
            if state_of(run) in FINAL:
                return run
        if timeout_s is not None and time.monotonic() - began + pause > timeout_s:
            raise WaitedTooLong(f"run {run_id} is not over after {timeout_s:g} s; it goes on")
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_WAIT_S)


def state_of(resource: Json) -> str:
    """The state of a run or a task."""
    return str(resource.get("state") or "PENDING").replace("RUNTIME_STATE_UNSPECIFIED", "PENDING")


def tasks(run: Json) -> Iterator[Json]:
    """The tasks of a run that people know: not Kubeflow's own drivers and groups."""
    for task in (run.get("run_details") or {}).get("task_details") or []:
        name = task.get("display_name", "")
        if name and name != "root" and not name.endswith(("-driver", "-executor")):
            yield task


def stage_table(run: Json, stages: list[str]) -> Table:
    """Every stage with its state, seconds and error; those that never began too.

    Args:
        run: a run, best in its final state.
        stages: names of the stages, in their order.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("error", overflow="fold")
    found = {_plain(task["display_name"]): task for task in tasks(run)}
    absent = "not started" if found else "unknown"  # a server may keep the tasks to itself
    for name in stages:
        task = found.pop(_plain(name), None)
        if task is None:
            table.add_row(name, absent, "", "")
        else:
            table.add_row(name, state_of(task), _seconds(task), _error(task))
    for task in found.values():
        table.add_row(task["display_name"], state_of(task), _seconds(task), _error(task))
    table.add_row("run", state_of(run), _seconds(run), _error(run), style="bold")
    return table


def _plain(name: str) -> str:
    """A stage's name however it is spelled: "Train model", "train-model", "train_model"."""
    return name.lower().replace("-", "_").replace(" ", "_")


def _seconds(resource: Json) -> str:
    start = resource.get("start_time") or resource.get("create_time") or resource.get("created_at")
    end = resource.get("end_time") or resource.get("finished_at")
    try:
        passed = (datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))).total_seconds()
    except ValueError:  # not over yet, or never begun
        return ""
    return f"{passed:.0f}" if passed >= 0 else ""


def _error(resource: Json) -> str:
    return " ".join(str((resource.get("error") or {}).get("message", "")).split())[:300]
