"""The runs as tables of a terminal."""

from __future__ import annotations

from rich.table import Table

from launcher.records.listing import Run, differences

FIGURES = ("Test AUC", "Test average precision")


def runs_table(runs: list[Run]) -> Table:
    """A line per run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for name in ("AUC", "AP"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        seconds = "" if run.seconds is None else f"{run.seconds:.0f}"
        values = [run.figures[name].text if name in run.figures else "" for name in FIGURES]
        table.add_row(run.name, run.state, seconds, *values)
    return table


def comparison_tables(one: Run, other: Run) -> list[Table]:
    """What differs between two runs: figures, settings."""
    kinds = {
        "figure": differences(
            *(
                {name: f"{f.text} {f.interval}".strip() for name, f in run.figures.items()}
                for run in (one, other)
            )
        ),
        "setting": differences(one.settings, other.settings),
    }
    tables = []
    for kind, rows in kinds.items():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in (kind, one.name, other.name):
            table.add_column(column, overflow="fold")
        for row in rows or [("none differs", "", "")]:
            table.add_row(*row)
        tables.append(table)
    return tables
