"""The runs below a folder, newest first, and how two of them differ."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from launcher.records.figures import Check, Figure, checks, figures, settings
from launcher.records.record import RunRecord, StageRecord, State
from tsa_model.scratch import is_dead

LATEST = "latest"
OWNER = ".owner.*"
"""Marks, in a run's `tmp`, the process that runs it."""
MARKS: dict[State, str] = {
    "succeeded": "ok",
    "failed": "stop",
    "stopped": "warn",
    "running": "warn",
    "not started": "warn",
}


class Run(NamedTuple):
    """One run, as its own files tell it."""

    folder: Path
    name: str
    data_set: str
    state: State
    started: datetime
    seconds: float | None
    stages: tuple[StageRecord, ...]
    figures: dict[str, Figure]
    checks: tuple[Check, ...]
    settings: dict[str, str]
    pages: tuple[str, ...]
    """Reports, relative to the folder."""

    @property
    def mark(self) -> str:
        """Sign of its state on a page."""
        return MARKS[self.state]


def runs_below(folder: Path) -> list[Run]:
    """Every run below a folder, newest first.

    Raises:
        ValueError: there is no such folder, or a record cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: name the one that runs were written to")
    found = [
        run_in(path)
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and (path / "arguments.json").is_file()
    ]
    return sorted(found, key=lambda run: (run.started, run.name), reverse=True)


def run_in(folder: Path) -> Run:
    """One run."""
    record = RunRecord.read(folder)
    made = datetime.fromtimestamp((folder / "arguments.json").stat().st_mtime, UTC)
    state: State = record.state if record else "stopped"
    if state == "running" and not any(not is_dead(mark) for mark in (folder / "tmp").glob(OWNER)):
        state = "stopped"  # its process was killed
    stages = folder / "stages"
    pages = (
        sorted(str(page.relative_to(folder)) for page in stages.glob("*/*.html")) if stages.is_dir() else []
    )
    return Run(
        folder=folder,
        name=folder.name,
        data_set=record.data_set if record else folder.name.rpartition("-")[0].rpartition("-")[0],
        state=state,
        started=record.started if record else made,
        seconds=record.seconds if record else None,
        stages=record.stages if record else (),
        figures={figure.name: figure for figure in figures(folder)},
        checks=tuple(checks(folder)),
        settings=settings(folder),
        pages=tuple(pages),
    )


def differences(one: dict[str, str], other: dict[str, str]) -> list[tuple[str, str, str]]:
    """Names whose values differ: name, first, second; empty = it has none."""
    names = sorted(one.keys() | other.keys())
    return [
        (name, one.get(name, ""), other.get(name, "")) for name in names if one.get(name) != other.get(name)
    ]
