"""`tsa init`: make an empty registry."""

from __future__ import annotations

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import registry_option


@click.command(cls=Command)
@registry_option
def command(registry: str) -> None:
    """Make an empty registry, the place of the champion.

    Once, before the first promotion. A folder without the pointer file is never taken for an empty registry:
    a volume that is not mounted looks just so.

    \b
    Example:
      tsa init --registry champion
    """
    with clear_errors():
        from tsa_model.promotion.registry import Registry

        Registry(registry).init()
    click.echo(f"{registry} is a registry now; it has no champion yet")
