"""`pipeline.py schedule`: one recurring run per name."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from launcher.kubeflow.api import ApiError, Json
from launcher.kubeflow.cron import fire_times, six_fields
from launcher.kubeflow.options import (
    Define,
    clear_errors,
    connection_options,
    pipeline_options,
    prepare,
    run_options,
    split_connection,
    warn_of_local_image,
)
from launcher.kubeflow.server import PipelinesServer, is_active
from launcher.local.display import PLAIN_WIDTH
from tsa_model.settings.data_interval import SCHEDULED_TIME

DEFAULT_NAME = "tsa-pipeline"
DONE = {"pause": "paused", "resume": "active", "delete": "deleted"}


class _CreateByDefault(click.Group):
    """Options without a subcommand mean `create`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_CreateByDefault)
def schedule() -> None:
    """Retrain again and again: recurring runs on Kubeflow, one per name.

    \b
    Examples:
      python pipeline.py schedule create --cron "0 2 * * 1" --config my_run.yaml --events s3://bucket/orders
      python pipeline.py schedule list
      python pipeline.py schedule pause
      python pipeline.py schedule resume
      python pipeline.py schedule delete --name weekly

    Connection options or the environment say where, as for submit (docs/CONNECTION.md).
    """


@schedule.command()
@click.option(
    "--cron",
    required=True,
    help='When: five fields ("0 2 * * 1", Mondays at 02:00) or six, the second first. UTC.',
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the recurring run.")
@run_options
@pipeline_options
@connection_options
@click.pass_obj
def create(define: Define, cron: str, name: str, **options: Any) -> None:
    """Make or replace the recurring run of a name.

    The pipeline is uploaded as a new version, which the recurring run keeps. Each run computes its dates
    from the time it was scheduled for. Missed runs are not caught up with, and never do two overlap.

    \b
    Examples:
      python pipeline.py schedule create --cron "0 2 * * 1"
      python pipeline.py schedule create --cron "0 30 1 1 * *" --name monthly --config my_run.yaml \\
          --events s3://bucket/orders --image registry.example/tsa-python@sha256:...
    """
    with clear_errors():
        connection, options = split_connection(options)
        six = six_fields(cron)
        prepared = prepare(define, options, data_interval_end=SCHEDULED_TIME)
        warn_of_local_image(prepared.documents)
        server = PipelinesServer(connection)
        version = server.upload(prepared.documents, prepared.version, prepared.description)
        experiment = server.experiment(options["experiment"])
        made = server.schedule(name, six, version, experiment, prepared.arguments)
        click.echo(f"Recurring run {name}: pipeline {prepared.pipeline}, version {version['name']}")
        click.echo(f"Cron {six} (second minute hour day month weekday, UTC), next:")
        for moment in fire_times(six):
            click.echo(f"  {moment:%a %Y-%m-%d %H:%M:%S} UTC")
        click.echo(connection.schedule_link(made["recurring_run_id"]))


@schedule.command(name="list")
@connection_options
def list_command(**options: Any) -> None:
    """Show the recurring runs.

    \b
    Example:
      python pipeline.py schedule list
    """
    with clear_errors():
        connection, _ = split_connection(options)
        found = PipelinesServer(connection).schedules()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "state", "cron", "next", "id"):
        table.add_column(column, overflow="fold")
    for one in found:
        cron = ((one.get("trigger") or {}).get("cron_schedule") or {}).get("cron", "")
        state = "active" if is_active(one) else "paused"
        table.add_row(
            one.get("display_name", ""),
            state,
            cron,
            _next(cron) if state == "active" else "",
            one["recurring_run_id"],
        )
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(
        table if found else "No recurring runs."
    )


def _named(act: Any) -> Any:
    """A command that does something to the recurring run of a name, and says what its docstring says."""
    word = act.__name__.strip("_")

    @schedule.command(name=word, help=act.__doc__)
    @click.argument("argument", metavar="[NAME]", required=False)
    @click.option("--name", "option", help=f"Name of the recurring run. Default: {DEFAULT_NAME}.")
    @connection_options
    def command(argument: str | None, option: str | None, **options: Any) -> None:
        if argument and option and argument != option:
            raise click.UsageError(f"two names: {argument} and {option}")
        name = argument or option or DEFAULT_NAME
        with clear_errors():
            server = PipelinesServer(split_connection(options)[0])
            found = server.schedules(name)
            if not found:
                others = ", ".join(sorted({one.get("display_name", "") for one in server.schedules()}))
                raise ApiError(f"there is no recurring run {name!r}; there are: {others or 'none'}")
            for one in found:
                act(server, one)
        click.echo(f"Recurring run {name}: {DONE[word]}.")

    return command


@_named
def _pause(server: PipelinesServer, one: Json) -> None:
    """Stop a recurring run from firing; runs that it has started go on.

    \b
    Example:
      python pipeline.py schedule pause weekly
    """
    server.set_active(one, False)


@_named
def _resume(server: PipelinesServer, one: Json) -> None:
    """Let a paused recurring run fire again.

    Of the runs it missed Kubeflow starts the last one, at once.

    \b
    Example:
      python pipeline.py schedule resume weekly
    """
    server.set_active(one, True)


@_named
def _delete(server: PipelinesServer, one: Json) -> None:
    """Delete a recurring run; runs that it has started go on.

    \b
    Example:
      python pipeline.py schedule delete weekly
    """
    server.delete_schedule(one)


def _next(cron: str) -> str:
    """The next fire time of a recurring run, which somebody else may have written."""
    try:
        (moment,) = fire_times(six_fields(cron), 1)
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
