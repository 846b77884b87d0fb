"""`tsa monitor`: what the scores of production are worth, and whether something must be done."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import Existing, ExistingFolder, Moment, connection_options, upload_options
from commands.retraining import LEDGER
from commands.retraining import retrain as start_run
from launcher.definition import Definition
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
@click.option(
    "--retrain",
    is_flag=True,
    help="Where something must be done, start a run on Kubeflow with the newest complete window: one per "
    "alarm, with a cool-down and a weekly cap (monitoring.retrain in the run description).",
)
@click.option(
    "--page-url", metavar="URL", help="With --retrain: where people find the page. Default: its path."
)
@upload_options
@connection_options
@click.pass_obj
def command(
    pipeline: Definition,
    reference: Path,
    scores: tuple[Path, ...],
    events: str | None,
    history: str | None,
    labels: str | None,
    as_of: datetime | None,
    config: str,
    output: Path,
    prometheus: bool,
    retrain: bool,
    page_url: str | None,
    **options: Any,
) -> None:
    """Judge scored orders day by day: realised, estimated, drifted.

    Figures of days whose labels are due are realised; those of later days are estimated from the
    probabilities. Every day has signals with a level, fine, look or act, and the reason in words
    (docs/MONITORING.md). Writes monitoring.json, monitoring.html and, if asked for, monitoring.prom; with
    --retrain retraining.json, the list of runs that alarms started.

    \b
    Examples:
      tsa monitor --reference runs/latest/stages/generate-scores/scores --scores scored/
      tsa monitor --reference runs/latest/stages/generate-scores/scores --scores scored/ \\
          --events orders.parquet --labels labels.parquet --config my_run.yaml --prometheus
      tsa monitor --reference ... --scores scored/ --config my_run.yaml \\
          --retrain -p events=s3://bucket/orders --host https://kubeflow.example/pipeline
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
    if retrain:
        page = page_url or str((output / PAGE).absolute())
        with clear_errors():
            start_run(pipeline, run, output / DOCUMENT, page, output / LEDGER, options)


def _check_outputs(output: Path, reference: Path, scores: tuple[Path, ...]) -> None:
    """Refuse to replace what this program did not write."""
    inputs = {"--reference": reference, **{f"--scores {path}": path for path in scores}}
    check_output_file(output / DOCUMENT, inputs, "--output", json_with("days", "weeks", "model_digest"))
    check_output_file(output / PAGE, inputs, "--output", is_page)
    check_output_file(output / PROMETHEUS, inputs, "--output", begins_with("# HELP tsa_monitor"))
