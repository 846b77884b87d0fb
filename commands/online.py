"""`tsa online`: the history store that orders are scored with one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.errors import clear_errors
from commands.group import Command, Group
from commands.options import EXPORTED, STORE, Existing, HistoryPlace
from tsa_model.outputs import check_output_file, json_with


@click.group(cls=Group)
def command() -> None:
    """The history store that orders are scored from, one by one.

    \b
    Example:
      tsa online load --model MODEL --store history --events orders.parquet
    """


@command.command(cls=Command)
@click.option("--model", required=True, type=EXPORTED, help="Model folder: says what must be kept.")
@click.option(
    "--store",
    required=True,
    type=HistoryPlace(),
    help="Folder to make, or a Redis (redis://host:6379/0); it must not hold a store yet.",
)
@click.option("--events", type=Existing(remote=True), help="Raw orders: Parquet, CSV, or a folder.")
@click.option("--empty", is_flag=True, help="Make a store without orders instead.")
@click.option(
    "--late-days",
    default=7.0,
    show_default=True,
    type=click.FloatRange(0),
    help="How much later than a younger order of its customer or card an order may come.",
)
def load(model: Path, store: Path | str, events: str | None, empty: bool, late_days: float) -> None:
    """Make a history store of an event log.

    It keeps of each customer and card what the histories, windows and label delay of the model need of orders
    to come. Labels in the log count from their label_time on, else label_delay_days after their orders, as in
    the batch.

    \b
    Example, after a run of the pipeline:
      tsa online load --model runs/latest/stages/generate-scores/scores/model --store history \\
          --events runs/latest/stages/validate-events/validated/events.parquet
    """
    if (events is None) != empty:
        raise click.UsageError("give either --events or --empty")
    with clear_errors():
        from tsa_model.online.loading import load_history, make_empty
        from tsa_model.online.redis_link import address_of
        from tsa_model.scoring.model import ScoringModel

        dataset, place = ScoringModel.load(model).dataset, address_of(store)
        if empty:
            make_empty(dataset, store, late_days)
            click.echo(f"an empty store: {place}")
            return
        with click.progressbar(length=100, label="loading", show_eta=True) as bar:
            counts = load_history(events, dataset, store, late_days, _moving(bar))
    click.echo(f"{counts['orders']:,} orders read, {counts['kept']:,} kept: {place}")


@command.command(cls=Command)
@click.option("--model", required=True, type=EXPORTED, help="Model folder.")
@click.option("--store", required=True, type=STORE, help="Sequence store that the model was scored with.")
@click.option("--events", required=True, type=Existing(), help="The orders that the store was built of.")
@click.option(
    "--output",
    default="online.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Verdict to write.",
)
@click.option(
    "--all", "is_all", is_flag=True, help="Every order of the test period, each of them over HTTP too."
)
@click.option("--scores", type=Existing(), help="Folder with the scores of the run, to hold them to it, too.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Page to write.")
def check(
    model: Path,
    store: Path,
    events: Path,
    output: Path,
    is_all: bool,
    scores: Path | None,
    report: Path | None,
) -> None:
    """Prove that orders get online what the batch gave them.

    Sends orders of the test period one by one through a history store of its own, with each label when its
    delay is over, and some of them through a server; compares tensors and scores with the batch's. Planted
    faults must be found. The stage check_online does the same in every run, and holds the score file to it.

    \b
    Example, after a run of the pipeline:
      tsa online check --model runs/latest/stages/generate-scores/scores/model \\
          --store runs/latest/stages/build-sequences/store \\
          --events runs/latest/stages/validate-events/validated/events.parquet
    """
    with clear_errors("NOT PROVEN"):
        inputs = {"--model": model, "--store": store, "--events": events}
        check_output_file(output, inputs, "--output", json_with("controls"))
        from tsa_model.online.proof.stage import prove, write
        from tsa_model.online.proof.stream import Extent

        with click.progressbar(length=100, label="replaying", show_eta=True) as bar:
            extent = Extent.everything() if is_all else Extent()
            verdict = prove(events, store, model, output, scores, _moving(bar), extent)
        write(verdict, output, report)
        if not verdict.passed:
            raise ValueError(f"{verdict.reason}: {output}")
    click.echo(f"{verdict.reason}: {output}")


def _moving(bar: Any) -> Any:
    def show(done: int, total: int) -> None:
        bar.update(100 * done // max(1, total) - bar.pos)

    return show
