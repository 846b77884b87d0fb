"""`tsa run`: all stages on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.audit import audit_finished
from commands.checks import (
    check_interval_end,
    check_registry,
    load_description,
    need_events,
    tell_registries,
)
from commands.errors import clear_errors
from commands.group import Command
from commands.options import run_options
from launcher.definition import Definition


@click.command(cls=Command)
@run_options
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that gets a new folder for this run.",
)
@click.pass_obj
def command(
    pipeline: Definition, events: str | None, config: str | None, runs: Path, **numbers: int | str | None
) -> None:
    """Run all stages on this machine.

    Everything a run makes lies in its own folder below RUNS, `latest` points to the newest:
    `logs/` the full log of every stage, `stages/` their outputs.

    \b
    Examples:
      tsa run
      tsa run --max-epochs 2 --seed 3
      tsa run --events transactions.parquet --config handbook

    Exit status: 0 when every stage succeeded, 1 when one failed, 130 when interrupted, 143 when terminated.
    """
    arguments: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    with clear_errors():
        check_interval_end(arguments.get("data_interval_end", ""))
    description = load_description(config or "demo")
    need_events(description, config or "demo", events)
    arguments["config"] = description.model_dump_json(exclude_unset=True)
    if arguments.get("champion"):
        arguments["champion"] = str(Path(arguments["champion"]).absolute())
    check_registry(arguments.get("champion", ""), bool(arguments.get("promote")))
    if events:
        arguments["events"] = events if "://" in events else str(Path(events).absolute())

    from launcher.compilation import compiled_documents
    from launcher.local.display import make_console
    from launcher.local.run import StageError, print_results, run_locally
    from launcher.local.tracker import Tracker

    console = make_console()
    documents = compiled_documents(pipeline.define())
    tracker = Tracker(description.tracking)
    try:
        with clear_errors(), tracker:
            try:
                results = run_locally(
                    documents, arguments, description.dataset.name, runs, console, tracker.start
                )
            except StageError:
                _write_pages(runs)
                raise
            console.print()
            print_results(console, results)
            try:
                outcome = audit_finished(results[0].output.parent)
                _write_card(results[0].output.parent)
            finally:
                _write_pages(runs)  # they link the two
            console.print(f"\n{outcome}", markup=False, highlight=False, soft_wrap=True)
        if arguments.get("promote"):
            tell_registries(arguments["champion"])
    finally:
        if tracker.outcome:
            click.echo(tracker.outcome, err=True)


def _write_pages(runs: Path) -> None:
    """The pages over runs; what hinders them is told, and hides nothing of the run."""
    from launcher.records.page import write_pages

    try:
        click.echo(f"Page over all runs: {write_pages(runs)}", err=True)
    except (ValueError, OSError) as error:
        click.echo(f"The page over all runs was not written: {error}", err=True)


def _write_card(stages: Path) -> None:
    """The card of the run's model; what hinders it is told, and hides nothing of the run."""
    from tsa_model.card.page import write_card
    from tsa_model.pages.names import CARD

    try:
        write_card(stages / "generate-scores" / "scores" / "model", stages / CARD)
    except (ValueError, OSError) as error:
        click.echo(f"The model's card was not written: {error}", err=True)
