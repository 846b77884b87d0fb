"""`tsa monitor`: what the scores of production are worth, and whether something must be done."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import Existing, ExistingFolder, Moment
from tsa_model.outputs import begins_with, check_output_file, is_page, json_with

DOCUMENT, PAGE, PROMETHEUS = "monitoring.json", "monitoring.html", "monitoring.prom"
REFERENCE = ExistingFolder("metrics.json", "the scores folder of a run")


@click.command(cls=Command)
@click.option(
    "--reference",
    required=True,
    type=REFERENCE,
    help="Scores folder of the run that made the model (scores/ of the stage generate-scores).",
)
@click.option(
    "--scores",
    required=True,
    multiple=True,
    type=Existing(),
    help="Scored orders: folders of 'tsa score', Parquet files, decision logs, folders of these; repeatable.",
)
@click.option(
    "--events",
    type=Existing(remote=True),
    help="Raw orders of these days: for columns, histories, amounts, late orders. Left out: none of those.",
)
@click.option(
    "--history", type=Existing(remote=True), help="The orders before them, where --events does not hold them."
)
@click.option(
    "--labels", type=Existing(remote=True), help="A file with order ids and labels that came later."
)
@click.option(
    "--as-of", type=Moment(), metavar="TIME", help="Moment of knowledge (UTC). Left out: the newest order's."
)
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Run description; its section 'monitoring' has the levels.",
)
@click.option(
    "--output",
    default="monitoring",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the document, the page and the text.",
)
@click.option("--prometheus", is_flag=True, help="Write the newest figures in Prometheus' text form, too.")
def command(
    reference: Path,
    scores: tuple[Path, ...],
    events: str | None,
    history: str | None,
    labels: str | None,
    as_of: datetime | None,
    config: str,
    output: Path,
    prometheus: bool,
) -> None:
    """Judge scored orders day by day: realised, estimated, drifted.

    Figures of days whose labels are due are realised; those of later days are estimated from the
    probabilities. Every day has signals with a level, fine, look or act, and the reason in words
    (docs/MONITORING.md). Writes monitoring.json, monitoring.html and, if asked for, monitoring.prom.

    \b
    Examples:
      tsa monitor --reference runs/latest/stages/generate-scores/scores --scores scored/
      tsa monitor --reference runs/latest/stages/generate-scores/scores --scores scored/ \\
          --events orders.parquet --labels labels.parquet --config my_run.yaml --prometheus
    """
    run = load_description(config)
    with clear_errors():
        _check_outputs(output, reference, scores)
        from tsa_model.monitoring.stage import monitor_scores

        metrics = monitor_scores(
            reference,
            scores,
            run,
            output / DOCUMENT,
            output / PAGE,
            output / PROMETHEUS if prometheus else None,
            events,
            history,
            labels,
            as_of,
        )
    click.echo(metrics["key_figure"])
    click.echo(f"Page: {output / PAGE}")


def _check_outputs(output: Path, reference: Path, scores: tuple[Path, ...]) -> None:
    """Refuse to replace what this program did not write."""
    inputs = {"--reference": reference, **{f"--scores {path}": path for path in scores}}
    check_output_file(output / DOCUMENT, inputs, "--output", json_with("days", "weeks", "model_digest"))
    check_output_file(output / PAGE, inputs, "--output", is_page)
    check_output_file(output / PROMETHEUS, inputs, "--output", begins_with("# HELP tsa_monitor"))
