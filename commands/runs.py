"""`tsa runs`: what became of every run on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command


@click.command(cls=Command)
@click.option(
    "--runs",
    "folder",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds the runs.",
)
@click.option(
    "--html", is_flag=True, help="Write the pages again: index.html over all, and one for each run."
)
@click.option("--compare", nargs=2, metavar="RUN RUN", help="Show what differs between two runs.")
def command(folder: Path, html: bool, compare: tuple[str, str] | None) -> None:
    """List the runs on this machine, newest first.

    Every run ends with fresh pages: RUNS/index.html over all runs, and an index.html in each run's folder
    with its stages, figures, checks, reports and logs. They open without a network.

    \b
    Examples:
      tsa runs
      tsa runs --html
      tsa runs --compare demo-20260101-120000 latest
    """
    with clear_errors():
        from launcher.local.display import make_console
        from launcher.records.listing import run_in, runs_below
        from launcher.records.tables import comparison_tables, runs_table

        console = make_console()
        if compare:
            missing = [name for name in compare if not (folder / name / "arguments.json").is_file()]
            if missing:
                raise ValueError(f"there is no run {missing[0]} in {folder}: tsa runs lists them")
            for table in comparison_tables(*(run_in((folder / name).resolve()) for name in compare)):
                console.print(table)
            return
        found = runs_below(folder)
        console.print(runs_table(found) if found else f"No runs in {folder}.")
        if html:
            from launcher.records.page import write_pages

            click.echo(f"Page: {write_pages(folder)}")
