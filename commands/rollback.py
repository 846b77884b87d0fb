"""`tsa rollback`: go back to an earlier model."""

from __future__ import annotations

import click

from commands.checks import tell_registries
from commands.errors import clear_errors
from commands.group import Command
from commands.options import registry_option


@click.command(cls=Command)
@registry_option
@click.option("--to", metavar="ID", help="An id of the history. Default: the champion before.")
def command(registry: str, to: str | None) -> None:
    """Go back to the champion before, or to another one.

    \b
    Examples:
      tsa rollback --registry champion
      tsa rollback --registry champion --to 4f1c2a9be07d3358
    """
    with clear_errors():
        from tsa_model.promotion import Registry

        entry = Registry(registry).rollback(to)
    click.echo(f"back to {entry.id}; before it: {entry.previous or 'none'}")
    tell_registries(registry)
