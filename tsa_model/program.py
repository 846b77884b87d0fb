"""The program `tsa` as the system sees it: how it starts, and how its threads wait for each other."""

from __future__ import annotations

import os
import runpy
import sys

THREAD_SPINS = "1000"
"""Rounds that a thread spins, some microseconds, before it sleeps until the others are done.

GNU OpenMP's own spin is much longer: on two cores that other programs want too, a training step of the demo's
network took 8 times as long and 6 times the processor's seconds; with 20,000 rounds 4 times as long. With
nothing else running, 1,000 rounds cost nothing that could be measured; not spinning at all costs small
batches up to 1.8 times.
"""


def wait_briefly() -> None:
    """Let OpenMP's threads of this process and of its children spin briefly only; a user's own value stays.

    It must be called before torch is imported: the library reads the value once, when it is loaded.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", THREAD_SPINS)


def start(*command: str) -> None:
    """Be the program `tsa`, with these words in front of what was typed.

    Args:
        command: the command's name; none = it was typed.
    """
    sys.argv[1:1] = command
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
