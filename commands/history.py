"""`tsa history`: which models were in use."""

from __future__ import annotations

import shutil

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import registry_option


@click.command(cls=Command)
@registry_option
def command(registry: str) -> None:
    """Show every change of the model in use.

    The marked line is the model in use now.

    \b
    Example:
      tsa history --registry champion
    """
    with clear_errors():
        from tsa_model.promotion import Registry

        pointer = Registry(registry).pointer()
    if pointer is None:
        click.echo(f"{registry} has no champion yet")
        return
    for entry in pointer.history:
        mark = "*" if entry is pointer.history[-1] else " "
        found = entry.comparison.get("auc", "")
        line = f"{mark} {entry.time:%Y-%m-%d %H:%M:%S} UTC  {entry.action:<8}  {entry.id}"
        columns = shutil.get_terminal_size().columns
        if found and len(line) + len(found) + 2 <= columns:
            click.echo(f"{line}  {found}")
            continue
        click.echo(line)
        if found:
            click.echo(click.wrap_text(found, columns, "    ", "    "))
