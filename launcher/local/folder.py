"""The folder of a run: made fresh, and rid of temporary files when its process is gone."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from launcher.errors import LauncherError
from tsa_model.scratch import delete, is_dead, temporary_name

OWNER = "owner"
"""What a run's `tmp` is marked with, so that a later run can tell whether its process still lives."""


def new_run_folder(runs: Path, name: str) -> Path:
    """Make `<runs>/<name>-<time>` (a number follows when it exists) and point `<runs>/latest` to it."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(
            f"runs cannot be written to {runs} ({error.strerror}): name another folder"
        ) from None
    if not os.access(runs, os.W_OK | os.X_OK):
        raise LauncherError(f"runs cannot be written to {runs} (it is read-only): name another folder")
    _clear_killed(runs)
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
    for part in ("logs", "artifacts", "tmp"):
        (folder / part).mkdir()
    temporary_name(folder / "tmp" / OWNER).touch()
    latest = runs / "latest"
    if latest.is_symlink() or not latest.exists():  # a file of that name is somebody else's
        link = folder / "tmp" / "latest"
        link.symlink_to(folder.name)
        os.replace(link, latest)
    return folder


def _clear_killed(runs: Path) -> None:
    """Delete the temporary files of runs whose process was killed; their logs and whole outputs stay."""
    for marker in runs.glob(f"*/tmp/.{OWNER}.*"):
        if is_dead(marker):
            clear(marker.parents[1])


def clear(folder: Path) -> None:
    """Delete the temporary files of a run whose stages are gone."""
    for path in [*(folder / "artifacts").rglob(".*.tmp"), *(folder / "artifacts").rglob(".*.old")]:
        if is_dead(path):
            delete(path)
    delete(folder / "tmp")
