"""`tsa submit`: upload the pipeline and run it on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from commands.checks import cluster_arguments
from commands.errors import clear_errors
from commands.group import Command
from commands.options import connection_options, find_connection, pipeline_options, run_options
from launcher.definition import Definition

if TYPE_CHECKING:
    from launcher.kubeflow.server import PipelinesServer
    from launcher.kubeflow.submit import Submission


@click.command(cls=Command)
@run_options
@pipeline_options
@connection_options
@click.option("--run-name", help="Name of the run. Default: the pipeline's name and the time.")
@click.option("--wait", is_flag=True, help="Follow the run to its end.")
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="With --wait: give up after this time.")
@click.pass_obj
def command(
    pipeline: Definition, run_name: str | None, wait: bool, wait_timeout: float | None, **options: Any
) -> None:
    """Upload the pipeline as a new version and run it on Kubeflow.

    The pipeline is created when it is absent; the version is named after the git revision and the image.
    Arguments are checked before anything is sent. Prints the link of the run's page.

    \b
    Examples:
      tsa submit --host https://kubeflow.example/pipeline --namespace fraud \\
          --token-file token.txt --image registry.example/tsa-python@sha256:...
      tsa submit --config my_run.yaml --events s3://bucket/orders --wait
      tsa submit -p seed=3 -p max_epochs=2
      tsa submit --pipeline monitoring -p reference=/models/run/scores -p scores=/scored \\
          --events s3://bucket/orders --config my_run.yaml

    Exit status: 0 when the run was started (with --wait: when it succeeded), 1 otherwise, 130 when
    interrupted. The connection is described in docs/CONNECTION.md.
    """
    with clear_errors():
        connection = find_connection(options)
        submission = prepare(pipeline, options)
        from launcher.kubeflow.server import PipelinesServer
        from launcher.kubeflow.submit import submit

        server = PipelinesServer(connection)
        version, run, earlier = submit(server, submission, options["experiment"], run_name)
        click.echo(f"Pipeline {submission.pipeline}, version {version['name']}")
        if earlier:
            click.echo("An earlier try, whose answer was lost, has started this run: no other is started.")
        click.echo(f"Run {run['display_name']} in experiment {options['experiment']}")
        click.echo(connection.run_link(run["run_id"]))
        if wait:
            _follow(server, run["run_id"], submission, wait_timeout)


def prepare(pipeline: Definition, options: dict[str, Any], **fixed: Any) -> Submission:
    """Check the arguments, then compile the pipeline; nothing is sent.

    Args:
        pipeline: what is submitted.
        options: values of `run_options` and `pipeline_options`.
        fixed: arguments of the command itself, which an option or a parameter replaces.

    Raises:
        ValueError: settings, run description or arguments do not fit.
    """
    pipeline = pipeline.chosen(options.pop("which", None))
    from launcher.kubeflow.places import check_places
    from launcher.stages import ClusterSettings

    arguments = cluster_arguments(pipeline.inputs, options, **fixed)
    settings = ClusterSettings.load(*options["stages"])
    check_places(settings, arguments)

    from launcher.kubeflow.submit import Submission

    submission = Submission.prepare(pipeline.define, settings, options["image"], arguments)
    for image in submission.local_images():
        click.echo(
            f"Warning: a cluster cannot pull {image}: push the image, and name it with --image or --stages.",
            err=True,
        )
    return submission


def _follow(server: PipelinesServer, run_id: str, submission: Submission, timeout_s: float | None) -> None:
    """Wait for the end, show the stages, and exit with what the run came to."""
    from launcher.compilation import display_names
    from launcher.kubeflow.waiting import stage_table, state_of, wait_for_run
    from launcher.local.display import make_console

    stages = display_names(submission.documents)
    try:
        run = wait_for_run(server, run_id, stages, click.echo, timeout_s)
    except KeyboardInterrupt:
        link = server.connection.run_link(run_id)
        click.echo(f"Interrupted: the run goes on; look at it there: {link}", err=True)
        raise SystemExit(130) from None
    make_console().print(stage_table(run, stages))
    if state_of(run) != "SUCCEEDED":
        raise SystemExit(1)
