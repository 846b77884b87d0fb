"""`tsa schedule`: one recurring run per name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from commands.errors import clear_errors
from commands.group import Group
from commands.options import connection_options, find_connection, pipeline_options, run_options
from commands.submit import prepare
from launcher.definition import Definition

if TYPE_CHECKING:
    from launcher.kubeflow.api import Json
    from launcher.kubeflow.server import PipelinesServer

DEFAULT_NAME = "tsa-pipeline"
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
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the recurring run.")
@run_options
@pipeline_options
@connection_options
@click.pass_obj
def create(pipeline: Definition, cron: str, name: str, **options: Any) -> None:
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

    with clear_errors():
        six = six_fields(cron)
        connection = find_connection(options)
        from tsa_model.settings.data_interval import SCHEDULED_TIME

        submission = prepare(pipeline, options, data_interval_end=SCHEDULED_TIME)
        from launcher.kubeflow.schedule import schedule
        from launcher.kubeflow.server import PipelinesServer

        server = PipelinesServer(connection)
        version, made = schedule(server, submission, options["experiment"], name, six)
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


def _named(act: Callable[[PipelinesServer, Json], None]) -> click.Command:
    """A command that does something to the recurring run of a name, and says what its docstring says."""
    word = act.__name__.strip("_")

    @command.command(name=word, help=act.__doc__)
    @click.argument("argument", metavar="[NAME]", required=False)
    @click.option("--name", "option", help=f"Name of the recurring run. Default: {DEFAULT_NAME}.")
    @connection_options
    def on_named(argument: str | None, option: str | None, **options: Any) -> None:
        if argument and option and argument != option:
            raise click.UsageError(f"two names: {argument} and {option}")
        name = argument or option or DEFAULT_NAME
        with clear_errors():
            connection = find_connection(options)
            from launcher.kubeflow.schedule import schedules_named
            from launcher.kubeflow.server import PipelinesServer

            server = PipelinesServer(connection)
            for one in schedules_named(server, name):
                act(server, one)
        click.echo(f"Recurring run {name}: {DONE[word]}.")

    return on_named


@_named
def _pause(server: PipelinesServer, one: Json) -> None:
    """Stop a recurring run from firing; runs that it has started go on.

    \b
    Example:
      tsa schedule pause weekly
    """
    server.set_active(one, False)


@_named
def _resume(server: PipelinesServer, one: Json) -> None:
    """Let a paused recurring run fire again.

    Of the runs it missed Kubeflow starts the last one, at once.

    \b
    Example:
      tsa schedule resume weekly
    """
    server.set_active(one, True)


@_named
def _delete(server: PipelinesServer, one: Json) -> None:
    """Delete a recurring run; runs that it has started go on.

    \b
    Example:
      tsa schedule delete weekly
    """
    server.delete_schedule(one)
