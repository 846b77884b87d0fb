"""Show a running pipeline: a live line per stage on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from tsa_model.progress import Progress

PLAIN_INTERVAL_S = 10.0
"""Plain lines report progress at most this often, and whenever a stage's counting ends."""

PLAIN_WIDTH = 160
"""Columns of a table where standard output is no terminal."""


class Display(Protocol):
    """What a local run tells the person who watches it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def start(self, number: int, total: int, stage: str) -> None:
        """Stage `number` of `total` begins."""

    def progress(self, progress: Progress) -> None:
        """The current stage has got this far."""

    def end(self, seconds: float, key_figure: str) -> None:
        """The current stage is over."""

    def fail(self) -> None:
        """The current stage failed."""


class LiveDisplay:
    """A spinner, a bar and the elapsed time for every stage."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def start(self, number: int, total: int, stage: str) -> None:
        self._task = self._bars.add_task(f"[{number}/{total}] {stage:<18}", total=None, note="")

    def progress(self, progress: Progress) -> None:
        self._bars.update(
            self._task, completed=progress.done, total=progress.total or None, note=_words(progress)
        )

    def end(self, seconds: float, key_figure: str) -> None:
        self._bars.update(self._task, completed=1, total=1, note=key_figure)

    def fail(self) -> None:
        self._bars.update(self._task, note="failed")
        self._bars.stop_task(self._task)


class PlainDisplay:
    """One line when a stage begins, some while it works, one when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._heading = ""
        self._started = self._reported = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def start(self, number: int, total: int, stage: str) -> None:
        self._heading = f"[{number}/{total}] {stage}"
        self._started = self._reported = time.monotonic()
        self._print("started")

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._reported >= PLAIN_INTERVAL_S or progress.done == progress.total:
            self._reported = now
            self._print(f"{_words(progress)} ({now - self._started:.0f} s)")

    def end(self, seconds: float, key_figure: str) -> None:
        self._print(f"done in {seconds:.1f} s: {key_figure}" if key_figure else f"done in {seconds:.1f} s")

    def fail(self) -> None:
        self._print("failed")

    def _print(self, text: str) -> None:
        self._console.print(f"{self._heading}: {text}", markup=False, highlight=False, soft_wrap=True)


class _Console(Console):
    """A console that says so when nobody reads it any more; rich itself would end the program in silence."""

    def on_broken_pipe(self) -> None:
        """Let the command end as it ends wherever its reader goes away."""
        raise BrokenPipeError


def make_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table where it is no terminal."""
    return _Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def make_display(console: Console) -> Display:
    """The display that suits where `console` writes to."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def _words(progress: Progress) -> str:
    count = f"{progress.done:,}/{progress.total:,}" if progress.total else f"{progress.done:,}"
    return " ".join(word for word in (progress.unit, count, progress.note) if word)
