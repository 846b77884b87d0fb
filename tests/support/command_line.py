"""The command line, as a function."""

from __future__ import annotations

from pathlib import Path

import pipeline


def tsa(*words: str | int | Path) -> int:
    """Run a command of `tsa` in this process; its exit status."""
    try:
        pipeline.main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("click ends every command with SystemExit")
