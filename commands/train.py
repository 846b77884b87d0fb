"""`tsa train`: one training, outside any pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import STORE
from tsa_model.outputs import check_output_file, check_output_folder, json_with


@click.command(cls=Command)
@click.option("--store", required=True, type=STORE, help="Folder of the sequence store.")
@click.option(
    "--config",
    required=True,
    metavar="NAME|FILE",
    help="Run description: a shipped name, a file or its text.",
)
@click.option(
    "--model",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Model folder to write.",
)
@click.option(
    "--training-log",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of logs and resume points.",
)
@click.option("--seed", type=int, help="Random seed. Default: the run description's.")
@click.option(
    "--max-epochs", type=int, help="Upper limit of training epochs. Default: the run description's."
)
@click.option(
    "--metrics", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write the metrics to."
)
def command(
    store: Path,
    config: str,
    model: Path,
    training_log: Path,
    seed: int | None,
    max_epochs: int | None,
    metrics: Path | None,
) -> None:
    """Train a model on a sequence store.

    Killed and started again with the same arguments, it goes on from its last resume point. Where the run
    description says several devices, a process is started for each.

    \b
    Example, after a run of the pipeline:
      tsa train --store runs/latest/stages/build-sequences/store --config demo \\
          --model model --training-log training_log
    """
    description = load_description(config)
    with clear_errors():
        check_output_folder(model, {"--store": store, "--training-log": training_log}, "--model")
        if metrics is not None:
            check_output_file(metrics, {}, "--metrics", json_with("key_figure", "epochs"))
    from tsa_model.training.entry import in_a_line, train_process

    with clear_errors():
        result = train_process(store, description, model, training_log, seed, max_epochs, metrics)
        if result is not None:
            click.echo(in_a_line(result, model))
