"""`tsa score`: raw orders to scores with a model folder, outside any pipeline."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, Existing, Moment
from tsa_model.outputs import check_output_folder


@click.command(cls=Command)
@click.option("--model", required=True, type=EXPORTED, help="Model folder (scores/model of a run).")
@click.option(
    "--events", required=True, type=Existing(remote=True), help="Raw orders: Parquet, CSV, or a folder."
)
@click.option(
    "--output",
    default="scores",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write.",
)
@click.option(
    "--orders",
    type=click.Choice(("auto", "test", "all")),
    default="auto",
    show_default=True,
    help="Which orders: the model's test period as the pipeline scores it, all of them, or (auto) the test "
    "period where the file has orders of it and all otherwise.",
)
@click.option(
    "--since", type=Moment(), metavar="TIME", help="Leave out orders before this time (UTC): 2025-05-01."
)
@click.option(
    "--history",
    type=Existing(remote=True),
    help="The earlier orders of the same customers and cards, where --events does not hold them; not scored.",
)
@click.option(
    "--allow-short-histories",
    is_flag=True,
    help="Score orders whose histories are far shorter than in training, or hold no known label where the "
    "model reads labels, instead of refusing them.",
)
@click.option(
    "--recompute",
    type=click.IntRange(min=0),
    metavar="N",
    help="Orders that are rebuilt from the events and computed again in float64 before anything is written; "
    "0 = none. Left out: 240, and 60 with a large network.",
)
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that score a stretch of the orders each, as many at once as there are processors; for "
    "very many orders. The files are the same to the byte.",
)
def command(
    model: Path,
    events: str,
    output: Path,
    orders: str,
    since: datetime | None,
    history: str | None,
    allow_short_histories: bool,
    recompute: int | None,
    shards: int,
) -> None:
    """Score raw orders.

    The file must hold the orders to score and, for their histories, the earlier orders of the same
    customers and cards (or these come from --history), with the columns the model was made from. Orders to
    score need no label, and no column for it; a model that reads the labels of earlier orders needs those.

    Writes into the output folder: score_file.csv (one score a line, no header), tag_file.csv (labels, when
    all are known), scores.parquet (order id, time, score, percentile, probability, label, provenance),
    manifest.json. What is notable of the orders is said on standard error and in the manifest: values that
    differ from training, short histories, rows that stand there twice, words for missing keys, and whatever
    the contract of a run would warn of.
    Before anything is written, every line is held against the events, and some orders are computed again from
    scratch (docs/GATE.md).

    \b
    Examples, after a run of the pipeline:
      tsa score --model runs/latest/stages/generate-scores/scores/model \\
          --events runs/latest/stages/validate-events/validated/events.parquet
      tsa score --model runs/latest/stages/generate-scores/scores/model \\
          --events orders.parquet --orders all --since 2025-05-01 --output today
      tsa score --model runs/latest/stages/generate-scores/scores/model --orders all \\
          --events today.parquet --history orders.parquet --output today
    """
    with clear_errors():
        check_output_folder(output, {"--model": model, "--events": events, "--history": history}, "--output")
        from data_contracts.scoring import notable
        from tsa_model.scoring.events import score_events

        n_scored = score_events(
            model,
            events,
            output,
            orders,
            since,
            _show_progress,
            history,
            allow_short_histories,
            _warn,
            notable,
            recompute,
            shards,
        )
    click.echo(f"{n_scored:,} orders scored: {output / 'scores.parquet'}")


def _warn(words: str) -> None:
    click.echo(f"Warning: {words}", err=True)


def _show_progress(done: int, total: int) -> None:
    click.echo(f"scoring {done:,} of {total:,} orders", nl=False, err=True)
    click.echo("\n" if done == total else "\r", nl=False, err=True)
