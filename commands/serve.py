"""`tsa serve`: the online service."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, Existing, HistoryPlace


@click.command(cls=Command)
@click.option("--model", type=EXPORTED, help="Model folder (scores/model of a run).")
@click.option(
    "--registry", type=Existing(), help="Or the folder with the champion's pointer file, which is followed."
)
@click.option(
    "--store",
    required=True,
    type=HistoryPlace(),
    help="History store (tsa online load): a folder, which is made where there is none, or Redis.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port.")
@click.option(
    "--late-days",
    default=7.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Of a store that is made: how much later than a younger order of its customer or card one may come.",
)
@click.option(
    "--sync",
    is_flag=True,
    help="Answer only when the order is on the disk: safe from a failure of the machine.",
)
@click.option(
    "--decisions",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which every answer is logged, with its order; see tsa audit --decisions.",
)
@click.option(
    "--threads",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Requests that threads work on at once. With more, they wait for each other; large networks"
    " on many cores gain from more.",
)
def command(
    model: Path | None,
    registry: Path | None,
    store: Path | str,
    host: str,
    port: int,
    late_days: float,
    sync: bool,
    decisions: Path | None,
    threads: int,
) -> None:
    """Serve a model: an order in, its score out.

    POST /score looks the earlier orders of the customer and the card up, scores the order and records it.
    POST /orders records without scoring, POST /labels takes labels. The Open Inference Protocol lies under
    /v2, metrics under /metrics. With --registry a new champion is verified, warmed up and swapped in.
    Ready when GET /v2/health/ready is 200. See docs/SERVING.md.

    \b
    Example:
      tsa serve --model runs/latest/stages/generate-scores/scores/model --store history --port 8080
      tsa serve --model MODEL --store redis://localhost:6379/0
    """
    if (model is None) == (registry is None):
        raise click.UsageError("give either --model or --registry")
    with clear_errors():
        from tsa_model.online.service.server import serve

        click.echo(f"Serving {model or registry} on http://{host}:{port}", err=True)
        champion = None
        if registry is not None:
            from tsa_model.audit.followed import FollowedChampion

            champion = FollowedChampion(registry)
        serve(model, store, host, port, late_days, sync, champion, decisions, threads)
