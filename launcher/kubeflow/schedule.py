"""Recurring runs: one per name, of which at most one fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.table import Table

from launcher.errors import LauncherError
from launcher.kubeflow.answers import ApiError, Json
from launcher.kubeflow.cron import fire_times, six_fields
from launcher.kubeflow.server import PipelinesServer, is_active
from launcher.kubeflow.submit import Submission, upload

Tell = Callable[[str], None]


def schedule(
    server: PipelinesServer, submission: Submission, experiment: str, name: str, cron: str, tell: Tell
) -> tuple[Json, Json]:
    """Upload the pipeline and make its recurring run the one of that name.

    Args:
        server: where.
        submission: what.
        experiment: name of the experiment, which is created when it is absent.
        name: of the recurring run.
        cron: six fields, seconds first.
        tell: gets a line that people must read although the command is being interrupted.

    Returns:
        The version and the recurring run.

    Raises:
        ApiError: the server refuses, or does not answer; the message says what fires now.
    """
    server.check_access()
    version = upload(server, submission)
    place = server.experiment(experiment)
    former = server.schedules(name)
    for one in former:
        owner = (one.get("pipeline_version_reference") or {}).get("pipeline_id", version["pipeline_id"])
        if owner != version["pipeline_id"]:
            raise ApiError(f"a recurring run {name!r} of another pipeline exists: choose another --name")
    known = {one["recurring_run_id"] for one in former}
    with _what_fires_is_said(server, name, tell, former):
        made = server.add_schedule(name, cron, version, place, submission.arguments, known)
        for one in filter(is_active, former):
            server.set_active(one, False)
        server.set_active(made, True)
        for one in former:
            server.delete_schedule(one)
    return version, made


def pause(server: PipelinesServer, name: str, tell: Tell) -> None:
    """Let no recurring run of a name fire."""
    found = schedules_named(server, name)
    with _what_fires_is_said(server, name, tell):
        for one in found:
            server.set_active(one, False)


def resume(server: PipelinesServer, name: str, tell: Tell) -> None:
    """Let the recurring run of a name fire: where several are left, the newest of those that fire."""
    found = schedules_named(server, name)
    chosen = _newest([one for one in found if is_active(one)] or found)
    with _what_fires_is_said(server, name, tell):
        for one in found:
            if one is not chosen and is_active(one):
                server.set_active(one, False)
        server.set_active(chosen, True)


def delete(server: PipelinesServer, name: str, tell: Tell) -> None:
    """Delete the recurring runs of a name; runs that they have started go on."""
    found = schedules_named(server, name)
    with _what_fires_is_said(server, name, tell):
        for one in found:
            server.delete_schedule(one)


@contextmanager
def _what_fires_is_said(
    server: PipelinesServer, name: str, tell: Tell, former: list[Json] | None = None
) -> Iterator[None]:
    """When a change breaks off, read the server again, go back to what fired before, and say what fires.

    Args:
        server: where.
        name: of the recurring run.
        tell: gets the words when the command is being interrupted.
        former: the recurring runs before the change, one of which is to fire again when none does; None =
            nothing is taken back.
    """
    try:
        yield
    except LauncherError as error:
        words = _after_trouble(server, name, former)
        raise ApiError(f"{error}. {words}", getattr(error, "status", 0)) from None
    except BaseException:
        tell(_after_trouble(server, name, former))
        raise


def _after_trouble(server: PipelinesServer, name: str, former: list[Json] | None) -> str:
    """What fires now, after an attempt to go back, and the command that repairs it."""
    if former is not None:
        with suppress(LauncherError, OSError):  # what came of it is read next
            _go_back(server, name, former)
    try:
        found = server.schedules(name)
    except (LauncherError, OSError) as error:
        return (
            f"What of the name {name!r} fires now is not known ({error}): look with 'tsa schedule list' when "
            f"the server answers; 'tsa schedule resume {name}' lets exactly one fire, and the same command "
            "again replaces it"
        )
    active = [one for one in found if is_active(one)]
    fires = ", ".join(f"{_cron(one)} ({one['recurring_run_id']})" for one in active)
    if len(active) == 1:
        return f"Of the name {name!r} one recurring run fires now: {fires}"
    if active:
        return f"Of the name {name!r} {len(active)} fire now: {fires}. Repair: tsa schedule resume {name}"
    if found:
        return f"Of the name {name!r} none fires now. Repair: tsa schedule resume {name}"
    return f"There is no recurring run {name!r} now: give the same command again"


def _go_back(server: PipelinesServer, name: str, former: list[Json]) -> None:
    """Let what fired before fire again, unless one of the name does.

    What was made goes first: an order to enable it that is still on its way then finds nothing.
    """
    found, known = server.schedules(name), {one["recurring_run_id"] for one in former}
    for one in found:
        if one["recurring_run_id"] not in known and not is_active(one):
            server.delete_schedule(one)
    fired = [one for one in former if is_active(one)]
    if fired and not any(is_active(one) for one in found):
        server.set_active(_newest(fired), True)


def _newest(schedules: list[Json]) -> Json:
    return max(schedules, key=lambda one: str(one.get("created_at", "")))


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
        state = "active" if is_active(one) else "paused"
        table.add_row(
            one.get("display_name", ""),
            state,
            _cron(one),
            _next(_cron(one)) if state == "active" else "",
            one["recurring_run_id"],
        )
    return table


def _cron(schedule: Json) -> str:
    return str(((schedule.get("trigger") or {}).get("cron_schedule") or {}).get("cron", ""))


def _next(cron: str) -> str:
    """The next fire time of a recurring run, which somebody else may have written."""
    try:
        (moment,) = fire_times(six_fields(cron), 1)
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
