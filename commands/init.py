"""`tsa init`: a first run description for orders nobody has described yet."""

from __future__ import annotations

import os
from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import Existing
from tsa_model.outputs import begins_with, check_output_file


@click.command(cls=Command)
@click.option("--events", required=True, type=Existing(), help="Orders: CSV or Parquet, a file or a folder.")
@click.option("--output", default="run.yaml", type=click.Path(path_type=Path), help="File to write.")
@click.option("--label", help="Column of 0 and 1. Default: found by name and values.")
@click.option("--order-id", help="Column that is different in every row. Default: found.")
@click.option("--order-time", help="Column of the order's moment. Default: found.")
@click.option("--customer", help="Column of the first key. Default: found.")
@click.option("--card", help="Column of the second key, such as a card or a merchant. Default: found.")
@click.option(
    "--label-delay", type=click.FloatRange(min=0), help="Days until a label is known. Default: guessed."
)
@click.option("--name", help="Name of the data set. Default: the file's.")
def command(
    events: Path,
    output: Path,
    label: str | None,
    order_id: str | None,
    order_time: str | None,
    customer: str | None,
    card: str | None,
    label_delay: float | None,
    name: str | None,
) -> None:
    """Look at orders and write a run description for them.

    Every line says its reason; lines with GUESS are those to look at first. Nothing is asked.

    \b
    Example:
      tsa init --events orders.parquet --output my_run.yaml
      tsa run --events orders.parquet --config my_run.yaml
    """
    from tsa_model.advice.description import FIRST_LINE, describe_events

    with clear_errors():
        check_output_file(output, {"--events": events}, "--output", begins_with(FIRST_LINE))
    from tsa_model.files import atomic_file

    given = {
        "label": label,
        "order_id": order_id,
        "order_time": order_time,
        "customer_id": customer,
        "card_id": card,
    }
    with clear_errors():
        text = describe_events(events, given, name, label_delay, len(os.sched_getaffinity(0)))
        with atomic_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    guesses = [line.strip() for line in text.splitlines() if "GUESS" in line and not line.startswith("#")]
    click.echo(f"{output}: look at {len(guesses)} guesses")
    for guess in guesses:
        click.echo(f"  {' '.join(guess.split())}")
