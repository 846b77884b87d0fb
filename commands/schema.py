"""`tsa schema`: the form of the gate's verdict file."""

from __future__ import annotations

import json

import click

from commands.group import Command


@click.command(cls=Command)
def command() -> None:
    """Print the JSON schema of the gate's verdict file.

    \b
    Example:
      tsa schema > verdict.schema.json
    """
    from tsa_model.equivalence.results import Verdict

    click.echo(json.dumps(Verdict.model_json_schema(), indent=2))
