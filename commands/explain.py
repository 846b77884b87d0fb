"""`tsa explain`: why one order got its score."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, Existing


@click.command(cls=Command)
@click.option("--model", required=True, type=EXPORTED, help="Model folder (scores/model of a run).")
@click.option(
    "--events",
    required=True,
    type=Existing(remote=True),
    help="Raw orders: Parquet, CSV, or a folder. It holds the order and the earlier ones.",
)
@click.option("--order", required=True, metavar="ID", help="The order to explain.")
@click.option(
    "--history",
    type=Existing(remote=True),
    help="The earlier orders of the same customer and card, where --events does not hold them.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one HTML page, too: both histories on a time axis, and where the network looked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def command(
    model: Path, events: str, order: str, history: str | None, page: Path | None, as_json: bool
) -> None:
    """Say why an order got its score.

    Prints how much the order itself, the customer's history and the card's history raised or lowered it,
    the parts of them that raised it most, and the one that speaks most against fraud, in log-odds.
    docs/REASONS.md says what such a reason means and what it does not.

    \b
    Example, after a run of the pipeline:
      tsa explain --model runs/latest/stages/generate-scores/scores/model \\
          --events runs/latest/stages/validate-events/validated/events.parquet --order 52801
    """
    with clear_errors():
        from tsa_model.files import atomic_file
        from tsa_model.reasons.explanation import as_text
        from tsa_model.scoring.explained import explain_order

        explained = explain_order(model, events, order, history, with_attention=page is not None)
        if page is not None:
            with atomic_file(page) as temporary:
                temporary.write_text(explained.page(), encoding="utf-8")
        found = explained.found
        click.echo(found.explanation.model_dump_json(indent=2) if as_json else as_text(found))
