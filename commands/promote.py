"""`tsa promote`: put the compared challenger in use; `tsa promote init`: make the registry it goes to."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Group
from commands.options import EXPORTED, registry_option


@click.group(cls=Group, invoke_without_command=True)
@click.option("--registry", metavar="DIR", help="Folder with the champion's pointer file.")
@click.option("--challenger", type=EXPORTED, help="Its model folder.")
@click.option(
    "--comparison",
    default="comparison.json",
    show_default=True,
    metavar="FILE",
    help="What `compare` wrote.",
)
@click.pass_context
def command(context: click.Context, registry: str | None, challenger: Path | None, comparison: str) -> None:
    """Put the compared challenger in use.

    Refused unless the comparison passed, is about this folder, and the champion is still the same.

    \b
    Examples:
      tsa promote init --registry champion
      tsa promote --registry champion --challenger runs/latest/stages/generate-scores/scores/model
    """
    if context.invoked_subcommand is not None:
        return
    if registry is None or challenger is None:
        raise click.UsageError(f"Missing option '{'--registry' if registry is None else '--challenger'}'.")
    with clear_errors():
        from tsa_model.promotion import Comparison, Registry

        entry = Registry(registry).promote(challenger, Comparison.load(comparison))
    click.echo(f"{entry.id} is the champion; before: {entry.previous or 'none'}")


@command.command()
@registry_option
def init(registry: str) -> None:
    """Make an empty registry, the place of the champion.

    Once, before the first promotion. A folder without the pointer file is never taken for an empty registry:
    a volume that is not mounted looks just so.

    \b
    Example:
      tsa promote init --registry champion
    """
    with clear_errors():
        from tsa_model.promotion.registry import Registry

        Registry(registry).init()
    click.echo(f"{registry} is a registry now; it has no champion yet")
