"""Results of a catalogue, kept in a folder, so that it can be tried in several calls."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = "results.json"


@dataclass(frozen=True)
class Calls:
    """How much of a catalogue a call tries.

    Attributes:
        only: faults whose name contains this.
        folder: keeps results, and what is made once for all faults; None = nothing is kept.
        seconds: after which no further fault is begun; None = until all are tried.
        markdown: the page to write about all kept results.
    """

    only: str = ""
    folder: Path | None = None
    seconds: float | None = None
    markdown: Path | None = None

    @contextlib.contextmanager
    def place(self) -> Iterator[Path]:
        """The folder for what is made once: kept, or removed afterwards."""
        if self.folder is None:
            with tempfile.TemporaryDirectory() as name:
                yield Path(name)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield self.folder

    def kept(self) -> dict[str, dict[str, Any]]:
        """Name → result of every fault that was tried before."""
        path = None if self.folder is None else self.folder / RESULTS
        return json.loads(path.read_text()) if path is not None and path.is_file() else {}

    def keep(self, name: str, result: dict[str, Any]) -> None:
        """Add one result; another process may add to the same file."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({**self.kept(), name: result}, indent=1)
            (self.folder / RESULTS).write_text(text, encoding="utf-8")

    def left(self, names: list[str]) -> Iterator[str]:
        """The names to try now."""
        known, started = self.kept(), time.perf_counter()
        for name in names:
            if self.seconds is not None and time.perf_counter() - started > self.seconds:
                return
            if name not in known and self.only in name:
                yield name
