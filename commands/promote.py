"""`tsa promote`: put the compared challenger in use."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, registry_option


@click.command(cls=Command)
@registry_option
@click.option("--challenger", required=True, type=EXPORTED, help="Its model folder.")
@click.option(
    "--comparison",
    default="comparison.json",
    show_default=True,
    metavar="FILE",
    help="What `compare` wrote.",
)
def command(registry: str, challenger: Path, comparison: str) -> None:
    """Put the compared challenger in use.

    Refused unless the comparison passed, is about this folder, and the champion is still the same.

    \b
    Example:
      tsa promote --registry champion --challenger runs/latest/stages/generate-scores/scores/model
    """
    with clear_errors():
        from tsa_model.promotion import Comparison, Registry

        entry = Registry(registry).promote(challenger, Comparison.load(comparison))
    click.echo(f"{entry.id} is the champion; before: {entry.previous or 'none'}")
