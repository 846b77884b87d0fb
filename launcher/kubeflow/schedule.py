"""Recurring runs: one per name."""

from __future__ import annotations

from rich.table import Table

from launcher.kubeflow.api import ApiError, Json
from launcher.kubeflow.cron import fire_times, six_fields
from launcher.kubeflow.server import PipelinesServer, is_active
from launcher.kubeflow.submit import Submission, upload


def schedule(
    server: PipelinesServer, submission: Submission, experiment: str, name: str, cron: str
) -> tuple[Json, Json]:
    """Upload the pipeline and make its recurring run the one of that name.

    Args:
        server: where.
        submission: what.
        experiment: name of the experiment, which is created when it is absent.
        name: of the recurring run.
        cron: six fields, seconds first.

    Returns:
        The version and the recurring run.

    Raises:
        ApiError: the server refuses, or does not answer.
    """
    version = upload(server, submission)
    place = server.experiment(experiment)
    return version, server.schedule(name, cron, version, place, submission.arguments)


def schedules_named(server: PipelinesServer, name: str) -> list[Json]:
    """The recurring runs of a name, at least one.

    Raises:
        ApiError: there is none.
    """
    found = server.schedules(name)
    if not found:
        others = ", ".join(sorted({one.get("display_name", "") for one in server.schedules()}))
        raise ApiError(f"there is no recurring run {name!r}; there are: {others or 'none'}")
    return found


def schedules_table(schedules: list[Json]) -> Table:
    """Every recurring run with its state and next time."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "state", "cron", "next", "id"):
        table.add_column(column, overflow="fold")
    for one in schedules:
        cron = ((one.get("trigger") or {}).get("cron_schedule") or {}).get("cron", "")
        state = "active" if is_active(one) else "paused"
        table.add_row(
            one.get("display_name", ""),
            state,
            cron,
            _next(cron) if state == "active" else "",
            one["recurring_run_id"],
        )
    return table


def _next(cron: str) -> str:
    """The next fire time of a recurring run, which somebody else may have written."""
    try:
        (moment,) = fire_times(six_fields(cron), 1)
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
