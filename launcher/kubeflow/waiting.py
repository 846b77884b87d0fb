"""Follow a run on a cluster to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from rich.table import Table

from launcher.errors import LauncherError
from launcher.kubeflow.answers import ApiError, Json
from launcher.kubeflow.connection import ConnectionProblem
from launcher.kubeflow.server import PipelinesServer

FINAL = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
LONGEST_WAIT_S, GROWTH = 15.0, 1.3
OUTAGE_S = 900.0
"""A server that does not answer for longer ends the waiting."""


class WaitedTooLong(LauncherError):
    """The run is not over yet."""


def wait_for_run(
    server: PipelinesServer,
    run_id: str,
    stages: Mapping[str, str],
    tell: Callable[[str], None],
    timeout_s: float | None = None,
) -> Json:
    """Ask for a run until it is over.

    A token that expires meanwhile is read again with every request; a refusal, like silence, is waited out.

    Args:
        server: where it runs.
        run_id: which.
        stages: from `display_names`.
        tell: gets a line whenever a state changes.
        timeout_s: seconds after which to give up; None = never.

    Returns:
        The run in its final state.

    Raises:
        WaitedTooLong: after `timeout_s`, or when the server has not answered for `OUTAGE_S`.
    """
    began = answered = time.monotonic()
    known: dict[str, str] = {}
    trouble, pause = "", server.connection.poll_s
    while True:
        try:
            run = server.get_run(run_id)
            answered, trouble = time.monotonic(), ""
        except (ApiError, ConnectionProblem) as error:
            if time.monotonic() - answered > OUTAGE_S:
                raise WaitedTooLong(f"{error}. {_goes_on(server, run_id)}") from None
            if str(error) != trouble:
                trouble = str(error)
                tell(f"waiting for the server: {trouble}")
        else:
            rows = stage_rows(run, stages)
            states = {"run": state_of(run)} | {name: row.state for name, row in rows.items() if row.state}
            for name, state in states.items():
                if known.get(name) != state:
                    tell(f"{name}: {state}")
            known = states
            if state_of(run) in FINAL:
                return run
        if timeout_s is not None and time.monotonic() - began + pause > timeout_s:
            raise WaitedTooLong(f"run {run_id} is not over after {timeout_s:g} s. {_goes_on(server, run_id)}")
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_WAIT_S)


def _goes_on(server: PipelinesServer, run_id: str) -> str:
    return f"The run goes on; look at it there: {server.connection.run_link(run_id)}"


def state_of(resource: Json) -> str:
    """The state of a run or a task."""
    return str(resource.get("state") or "PENDING").replace("RUNTIME_STATE_UNSPECIFIED", "PENDING")


class Row(NamedTuple):
    """What is known of a stage."""

    state: str = ""
    """Empty = it has not begun."""
    seconds: str = ""
    error: str = ""


def stage_rows(run: Json, stages: Mapping[str, str]) -> dict[str, Row]:
    """What is known of every stage.

    Kubeflow lists its own nodes beside the stages: drivers, executors, the workflow. Their errors belong to
    the stage they work for.

    Args:
        run: a run as the server tells it.
        stages: from `display_names`.

    Returns:
        A stage's name for people → what is known; "run" → errors of nodes that belong to no stage.
    """
    tasks = (run.get("run_details") or {}).get("task_details") or []
    names = {_plain(word): title for name, title in stages.items() for word in (name, title)}
    stage_of = _stages_of_tasks(tasks, names)
    rows = dict.fromkeys(stages.values(), Row())
    for task in tasks:
        title = names.get(_plain(task.get("display_name", "")))
        if title is not None:
            rows[title] = Row(state_of(task), _seconds(task), _error(task) or rows[title].error)
    rows["run"] = Row(state_of(run), _seconds(run), _error(run))
    for task in tasks:
        title = stage_of.get(task.get("task_id", ""), "run")
        if (error := _error(task)) and not rows[title].error:
            rows[title] = rows[title]._replace(error=error)
    return rows


def _stages_of_tasks(tasks: list[Json], names: Mapping[str, str]) -> dict[str, str]:
    """Task id → the stage it is, or works for: by its own name, or by those above it."""
    by_id = {task["task_id"]: task for task in tasks if task.get("task_id")}
    above = {
        child.get("task_id", ""): task.get("task_id", "")
        for task in tasks
        for child in task.get("child_tasks") or []
    } | {task_id: task["parent_task_id"] for task_id, task in by_id.items() if task.get("parent_task_id")}
    found = {}
    for task_id in by_id:
        at, seen = task_id, set()
        while at in by_id and at not in seen:
            seen.add(at)
            name = _plain(by_id[at].get("display_name", ""))
            if title := names.get(name) or names.get(name.removesuffix("_driver").removesuffix("_executor")):
                found[task_id] = title
                break
            at = above.get(at, "")
    return found


def stage_table(run: Json, stages: Mapping[str, str]) -> Table:
    """Every stage with its state, seconds and error; those that never began too.

    Args:
        run: a run, best in its final state.
        stages: from `display_names`.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("error", overflow="fold")
    rows = stage_rows(run, stages)
    whole = rows.pop("run")
    told = any(row.state for row in rows.values())
    absent = "not started" if told else "unknown"  # a server may keep the tasks to itself
    for name, row in rows.items():
        table.add_row(name, row.state or absent, row.seconds, row.error)
    table.add_row("run", whole.state, whole.seconds, whole.error, style="bold")
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
