"""`pipeline.py submit`: upload the pipeline and run it on a server."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console

from launcher.compilation import display_names
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
from launcher.kubeflow.server import PipelinesServer, new_run_name
from launcher.kubeflow.waiting import stage_table, state_of, wait_for_run
from launcher.local.display import PLAIN_WIDTH


@click.command()
@run_options
@pipeline_options
@connection_options
@click.option("--run-name", help="Name of the run. Default: the pipeline's name and the time.")
@click.option("--wait", is_flag=True, help="Follow the run to its end.")
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="With --wait: give up after this time.")
@click.pass_obj
def submit(
    define: Define, run_name: str | None, wait: bool, wait_timeout: float | None, **options: Any
) -> None:
    """Upload the pipeline as a new version and run it on Kubeflow.

    The pipeline is created when it is absent; the version is named after the git revision and the image.
    Arguments are checked before anything is sent. Prints the link of the run's page.

    \b
    Examples:
      python pipeline.py submit --host https://kubeflow.example/pipeline --namespace fraud \\
          --token-file token.txt --image registry.example/tsa-python@sha256:...
      python pipeline.py submit --config my_run.yaml --events s3://bucket/orders --wait
      python pipeline.py submit -p seed=3 -p max_epochs=2

    Exit status: 0 when the run was started (with --wait: when it succeeded), 1 otherwise, 130 when
    interrupted. The connection is described in docs/CONNECTION.md.
    """
    with clear_errors():
        connection, options = split_connection(options)
        prepared = prepare(define, options)
        warn_of_local_image(prepared.documents)
        server = PipelinesServer(connection)
        version = server.upload(prepared.documents, prepared.version, prepared.description)
        experiment = server.experiment(options["experiment"])
        name = run_name or new_run_name(prepared.pipeline)
        run = server.run(version, experiment, prepared.arguments, name)
        click.echo(f"Pipeline {prepared.pipeline}, version {version['name']}")
        click.echo(f"Run {name} in experiment {options['experiment']}")
        click.echo(connection.run_link(run["run_id"]))
        if wait:
            _follow(server, run["run_id"], display_names(prepared.documents), wait_timeout)


def _follow(server: PipelinesServer, run_id: str, stages: list[str], timeout_s: float | None) -> None:
    """Wait for the end, show the stages, and exit with what the run came to."""
    try:
        run = wait_for_run(server, run_id, click.echo, timeout_s)
    except KeyboardInterrupt:
        click.echo("Interrupted: the run goes on.", err=True)
        raise SystemExit(130) from None
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(stage_table(run, stages))
    if state_of(run) != "SUCCEEDED":
        raise SystemExit(1)
