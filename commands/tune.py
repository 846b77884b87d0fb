"""`tsa tune`: a search for better settings, before the test period."""

from __future__ import annotations

from pathlib import Path

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import Existing


@click.command(cls=Command)
@click.option("--events", required=True, type=Existing(), help="Orders: CSV or Parquet, a file or a folder.")
@click.option(
    "--config",
    required=True,
    metavar="NAME|FILE",
    help="Run description to begin with; its section `tuning` declares the space.",
)
@click.option(
    "--output",
    default="tuned",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the search. One that holds the same search goes on.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Trainings. Default: the description's.")
@click.option(
    "--max-epochs", type=click.IntRange(min=1), help="Epochs of a trial. Default: the description's."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the search. Default: the description's.")
def command(
    events: Path, config: str, output: Path, trials: int | None, max_epochs: int | None, seed: int | None
) -> None:
    """Search for better settings, on the weeks before the test period.

    Each trial trains one network with other settings and is judged by the validation and calibration periods
    together; hopeless ones stop early. The best are trained once more with another seed. Then the winner and
    the description's own settings are compared on the test period, which nobody looked at before.

    Interrupted and started again with the same arguments, the search goes on.

    \b
    Example:
      tsa tune --events orders.parquet --config my_run.yaml --output tuned
      tsa run --events orders.parquet --config tuned/tuned.yaml
    """
    description = load_description(config)
    given = {"trials": trials, "max_epochs": max_epochs, "seed": seed}
    changes = {name: value for name, value in given.items() if value is not None}
    with clear_errors():
        description = description.changed(tuning=description.tuning.changed(**changes))
        check_place(output)
        from tsa_model.tuning import tune

        result = tune(events, description, output, click.echo)
    click.echo(f"{result.key_figure}\n{output}/tuned.yaml: the winner; {output}/tuning.html: the page")


def check_place(output: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        ValueError: it is not empty and holds no search.
    """
    if output.is_dir() and any(output.iterdir()) and not (output / "study.db").is_file():
        raise ValueError(f"--output {str(output)!r} holds other files and no search: give a new folder")
