"""`tsa compile`: the pipeline as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import pipeline_option
from launcher.definition import Definition
from launcher.target import Target
from tsa_model.outputs import begins_with, check_output_file

if TYPE_CHECKING:
    from launcher.stages import ClusterSettings


@click.command(cls=Command)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. Default: pipeline.yaml and monitoring.yaml beside pipeline.py.",
)
@click.option("--image", default=None, metavar="REFERENCE", help="Image for every stage, best with a digest.")
@click.option(
    "--target",
    default="kubeflow",
    show_default=True,
    type=click.Choice(get_args(Target)),
    help="Kubeflow Pipelines, or Vertex AI Pipelines: one document, accelerators by Google's names.",
)
@click.option(
    "--stages",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File with what differs from launcher/stages.yaml: image, resources, retries, volumes.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 when a file is not current.")
@pipeline_option
@click.pass_obj
def command(
    pipeline: Definition,
    output: Path | None,
    image: str | None,
    target: Target,
    stages: tuple[Path, ...],
    check: bool,
    which: str | None,
) -> None:
    """Write the pipeline as YAML, the form a cluster takes.

    \b
    Examples:
      tsa compile
      tsa compile --image registry.example/tsa-python@sha256:... --output cluster.yaml
      tsa compile --target vertex --stages our_cluster.yaml --output vertex.yaml
    """
    from launcher.stages import ClusterSettings

    every = which is None and output is None
    chosen = [pipeline, *pipeline.others.values()] if every else [pipeline.chosen(which)]
    with clear_errors():
        settings = ClusterSettings.load(*stages)
    for one in chosen:
        _compile(one, output or one.compiled, settings, image, target, check)


def _compile(
    pipeline: Definition,
    output: Path,
    settings: ClusterSettings,
    image: str | None,
    target: Target,
    check: bool,
) -> None:
    """Write one pipeline, or compare it with the file."""
    from launcher.compilation import WRITTEN_BY

    with clear_errors():
        if not check:
            check_output_file(output, {}, "--output", begins_with(WRITTEN_BY))
        from launcher.compilation import compiled_documents, read_documents, write_documents

        documents = compiled_documents(pipeline.define(settings, target), image)
    if check:
        if not output.exists() or read_documents(output) != documents:
            raise click.ClickException(f"{output} is not current: run 'python pipeline.py compile'")
        return
    write_documents(documents, output)
    click.echo(f"Wrote {output}")
    from launcher.tasks import left_out

    if missing := left_out(settings, target):
        click.echo(f"Left out, because {target} has no place for them: {', '.join(missing)}", err=True)
