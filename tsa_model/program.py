"""What `python -m tsa_model.score` and its like do: start the program `tsa`, without importing it."""

from __future__ import annotations

import runpy
import sys


def start(*command: str) -> None:
    """Be the program `tsa`, with these words in front of what was typed.

    Args:
        command: the command's name; none = it was typed.
    """
    sys.argv[1:1] = command
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
