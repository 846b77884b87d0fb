"""`tsa schedule`: one recurring run per name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from commands.errors import clear_errors
from commands.group import Group
from commands.options import connection_options, find_connection, pipeline_options, run_options
from commands.submit import prepare
from launcher.definition import MONITORING, Definition

DEFAULT_NAME = "tsa-pipeline"
MONITORING_NAME = "tsa-monitoring"
DONE = {"pause": "paused", "resume": "active", "delete": "deleted"}


class _CreateByDefault(Group):
    """Options without a subcommand mean `create`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_CreateByDefault)
def command() -> None:
    """Retrain regularly: recurring runs on Kubeflow, one per name.

    \b
    Examples:
      tsa schedule create --cron "0 2 * * 1" --config my_run.yaml --events s3://bucket/orders
      tsa schedule list
      tsa schedule pause
      tsa schedule resume
      tsa schedule delete --name weekly

    Connection options or the environment say where, as for submit (docs/CONNECTION.md).
    """


@command.command()
@click.option(
    "--cron",
    required=True,
    help='When: five fields ("0 2 * * 1", Mondays at 02:00) or six, the second first. UTC.',
)
@click.option(
    "--name",
    help=f"Name of the recurring run. Default: {DEFAULT_NAME}, and {MONITORING_NAME} for monitoring.",
)
@run_options
@pipeline_options
@connection_options
@click.pass_obj
def create(pipeline: Definition, cron: str, name: str | None, **options: Any) -> None:
    """Make or replace the recurring run of a name.

    The pipeline is uploaded as a new version, which the recurring run keeps. Each run computes its dates
    from the time it was scheduled for. Missed runs are not caught up with, and never do two overlap.

    \b
    Examples:
      tsa schedule create --cron "0 2 * * 1"
      tsa schedule create --cron "0 30 1 1 * *" --name monthly --config my_run.yaml \\
          --events s3://bucket/orders --image registry.example/tsa-python@sha256:...
    """
    from launcher.kubeflow.cron import fire_times, six_fields

    name = name or (MONITORING_NAME if options["which"] == MONITORING else DEFAULT_NAME)
    with clear_errors():
        six = six_fields(cron)
        connection = find_connection(options)
        from tsa_model.settings.data_interval import SCHEDULED_TIME

        submission = prepare(pipeline, options, data_interval_end=SCHEDULED_TIME)
        from launcher.kubeflow.schedule import schedule
        from launcher.kubeflow.server import PipelinesServer

        server = PipelinesServer(connection)
        version, made = schedule(server, submission, options["experiment"], name, six, _tell)
        click.echo(f"Recurring run {name}: pipeline {submission.pipeline}, version {version['name']}")
        click.echo(f"Cron {six} (second minute hour day month weekday, UTC), next:")
        for moment in fire_times(six):
            click.echo(f"  {moment:%a %Y-%m-%d %H:%M:%S} UTC")
        click.echo(connection.schedule_link(made["recurring_run_id"]))


@command.command(name="list")
@connection_options
def list_command(**options: Any) -> None:
    """Show the recurring runs.

    \b
    Example:
      tsa schedule list
    """
    with clear_errors():
        connection = find_connection(options)
        from launcher.kubeflow.schedule import schedules_table
        from launcher.kubeflow.server import PipelinesServer
        from launcher.local.display import make_console

        found = PipelinesServer(connection).schedules()
        make_console().print(schedules_table(found) if found else "No recurring runs.")


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _named(what: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command that does to the recurring run of a name what `launcher.kubeflow.schedule` calls `what`."""

    def make(described: Callable[..., None]) -> click.Command:
        @command.command(name=what, help=described.__doc__)
        @click.argument("argument", metavar="[NAME]", required=False)
        @click.option("--name", "option", help=f"Name of the recurring run. Default: {DEFAULT_NAME}.")
        @connection_options
        def on_named(argument: str | None, option: str | None, **options: Any) -> None:
            if argument and option and argument != option:
                raise click.UsageError(f"two names: {argument} and {option}")
            name = argument or option or DEFAULT_NAME
            with clear_errors():
                connection = find_connection(options)
                from launcher.kubeflow import schedule
                from launcher.kubeflow.server import PipelinesServer

                getattr(schedule, what)(PipelinesServer(connection), name, _tell)
            click.echo(f"Recurring run {name}: {DONE[what]}.")

        return on_named

    return make


@_named("pause")
def _pause() -> None:
    """Stop a recurring run from firing; runs that it has started go on.

    \b
    Example:
      tsa schedule pause weekly
    """


@_named("resume")
def _resume() -> None:
    """Let a paused recurring run fire again; where several have the name, exactly one.

    Of the runs it missed Kubeflow starts the last one, at once.

    \b
    Example:
      tsa schedule resume weekly
    """


@_named("delete")
def _delete() -> None:
    """Delete a recurring run; runs that it has started go on.

    \b
    Example:
      tsa schedule delete weekly
    """
