"""Folders that one test process makes and the others of the same run read."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

SharedFolder = Callable[[str, Callable[[Path], None]], Path]
"""`made_once` of a test session."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process to ask makes; the others wait for it. Nobody may change it afterwards.

    Args:
        factory: of the test session.
        name: of the folder, the same in every process.
        make: fills the empty folder it is given.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in the run's
    folder, finished = base / f"shared-{name}", base / f"shared-{name}.finished"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder
