"""One thing that was looked at, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from rich.table import Table

from launcher.errors import LauncherError
from tsa_model.settings import Settings

State = Literal["ok", "note", "missing"]
MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


class Finding(Settings):
    """One thing that was looked at."""

    what: str
    state: State
    """`note`: a run can begin, but read this; `missing`: it cannot."""
    found: str
    remedy: str = ""
    """What to do; empty = nothing."""


Look = Callable[[], Finding | Iterable[Finding]]


def fine(what: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(what=what, state="ok", found=found)


def note(what: str, found: str, remedy: str) -> Finding:
    """A run can begin, but people should know."""
    return Finding(what=what, state="note", found=found, remedy=remedy)


def missing(what: str, found: str, remedy: str) -> Finding:
    """A run cannot begin, or would fail."""
    return Finding(what=what, state="missing", found=found, remedy=remedy)


def looked(what: str, look: Look) -> Iterator[Finding]:
    """What a look finds; one that cannot be taken is a finding too."""
    try:
        found = look()
        yield from [found] if isinstance(found, Finding) else found
    except (LauncherError, ValueError, OSError) as error:
        yield missing(what, str(error), "")


def findings_table(findings: list[Finding]) -> Table:
    """Every finding, those to act on with what to do."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    styles = {"ok": "", "note": "yellow", "missing": "bold red"}
    for one in findings:
        words = one.found + (f"\n→ {one.remedy}" if one.remedy else "")
        table.add_row(one.what, MARKS[one.state], words, style=styles[one.state])
    return table
