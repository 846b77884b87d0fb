"""`tsa card`: the card of a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED


@click.command(cls=Command)
@click.option("--model", required=True, type=EXPORTED, help="Model folder of a run, or of a registry.")
@click.option(
    "--output",
    default="model_card.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page to write.",
)
def command(model: Path, output: Path) -> None:
    """Write the card of a model: what it is, its data, how good, how proven, its limits.

    Figures come from the scores that the folder lies in, or from the registry's pointer. Every local run
    writes the card of its model, too. The page opens without a network.

    \b
    Examples:
      tsa card --model runs/latest/stages/generate-scores/scores/model
      tsa card --model champion/models/4f1c2a9be07d3358 --output card.html
    """
    with clear_errors():
        from tsa_model.card.page import write_card

        card = write_card(model, output)
    click.echo(f"Card of {card.dataset.name} {card.about.weights_sha256[:12]}: {output}")
    if not card.audit.passed:
        raise click.ClickException(f"the chain of proof is broken: {card.audit.links[-1].finding}")
