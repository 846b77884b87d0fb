"""`tsa check`: the gate alone."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import NOT_PROVEN, clear_errors
from commands.group import Command
from commands.options import BASELINE, MODEL, STORE
from tsa_model.outputs import check_output_file, is_page, json_with


@click.command(cls=Command)
@click.option("--store", required=True, type=STORE, help="Folder of the sequence store.")
@click.option("--model", required=True, type=MODEL, help="Model folder.")
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Run description: a shipped name or a file.",
)
@click.option(
    "--baseline",
    multiple=True,
    type=BASELINE,
    help="Folder that `capture` wrote; may be repeated.",
)
@click.option(
    "--verdict",
    default="verdict.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the JSON verdict goes.",
)
@click.option(
    "--report",
    default="verdict.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the HTML page goes.",
)
def command(
    store: Path, model: Path, config: str, baseline: tuple[Path, ...], verdict: Path, report: Path
) -> None:
    """Prove that a model computes what the reference computes.

    The gate compares the model, as it will be exported, with the reference: on real orders of the store,
    chosen so that they cover what occurs, and on generated edge cases.

    \b
    Examples, after a run of the pipeline:
      tsa check --store runs/latest/stages/build-sequences/store --model runs/latest/stages/train-model/model
      tsa check --store store --model model --config my_run.yaml --baseline my_baseline

    Exit status: 0 when it is proven, 1 when a check failed or could not be made.
    """
    with clear_errors(NOT_PROVEN):
        inputs = {"--store": store, "--model": model}
        check_output_file(verdict, inputs, "--verdict", json_with("verdict_id", "checks"))
        check_output_file(report, inputs, "--report", is_page)
        from tsa_model.settings.run import RunConfig

        run = RunConfig.load(config)
        gate = run.equivalence.changed(baselines=(*run.equivalence.baselines, *map(str, baseline)))
        run = run.changed(equivalence=gate)
        from tsa_model.equivalence.gate import check_equivalence

        found = check_equivalence(store, model, run, verdict, report)
    click.echo(f"EQUIVALENT. {found['key_figure']}. Verdict: {verdict}, page: {report}")
