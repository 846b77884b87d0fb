"""`tsa track`: the records of runs in MLflow."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--uri",
    metavar="ADDRESS|DIR",
    help="MLflow server, or a folder. Default: as the run description says, else `mlruns` beside the runs.",
)
@click.option(
    "--experiment", metavar="NAME", help="MLflow's experiment. Default: as the run description says."
)
def command(runs: tuple[Path, ...], uri: str | None, experiment: str | None) -> None:
    """Write the records of RUNS to MLflow, or complete them.

    Everything is read from the runs' own files, so a record can be made at any time, also of a run that was
    started without a `tracking` section. A run has one record: recording it again adds what is missing.
    A server's log-in is read from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD.

    \b
    Examples:
      tsa track runs/latest
      tsa track runs/demo-* --uri https://mlflow.example
    """
    with clear_errors():
        from launcher.local.tracker import record
        from launcher.records.tracked import tracking_of

        given = {"uri": _absolute(uri), "experiment": experiment}
        changes = {name: value for name, value in given.items() if value}
        for run in runs:
            config = tracking_of(run).changed(**changes)
            click.echo(record(run.resolve(), config.place(run.resolve().parent), config.experiment))


def _absolute(uri: str | None) -> str | None:
    return uri if not uri or "://" in uri else str(Path(uri).absolute())
