"""Record runs in MLflow: at any time, or by a process beside a run that follows it to its end.

`python -m launcher.local.tracker FOLDER PLACE EXPERIMENT` follows a run until its standard input closes. It
writes nothing into the run's folder, and nothing that happens to it reaches the run.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from launcher.records.tracked import CURVES, recording_of
from launcher.secrets import blot
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.tracking.in_mlflow import SECRETS, MLflow, TrackingProblem, alone

POLL_S = 2.0
"""Time between two looks at a run."""
AFTER_STOP_S = 20.0
"""Longest wait for the record of a run that was interrupted or failed."""


class NotRecorded(ValueError):
    """MLflow has no whole record of a run; the text is for people and holds no secret."""


def record(folder: Path, place: str, experiment: str, mlflow: MLflow | None = None) -> str:
    """Write everything to MLflow that the files of a run say.

    Args:
        folder: the run's; nothing in it changes.
        place: address of an MLflow server, or the path of a folder.
        experiment: MLflow's name for the group of runs.
        mlflow: an open connection to them; None = a new one.

    Returns:
        What was done, in a line.

    Raises:
        NotRecorded: MLflow refused, or cannot be reached.
        ValueError: the folder is no run.
    """
    try:
        with alone(folder):
            recording = recording_of(folder)
            written = (mlflow or MLflow(place, experiment)).write(recording)
    except TrackingProblem as error:
        raise NotRecorded(blot(str(error), {os.environ.get(name, "") for name in SECRETS})) from None
    what = "recorded" if written else "was recorded before"
    return f"{recording.name} {what} in MLflow at {place}, experiment {experiment!r}"


class Tracker:
    """Follows one run in a process of its own, from `start` to the end of the `with` block.

    Args:
        config: the run's section; None = nothing is recorded.
    """

    def __init__(self, config: TrackingConfig | None) -> None:
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self._resources = ExitStack()
        self._folder = Path()
        self.outcome = ""
        """What became of the record, in a line; empty = there was none to make."""

    def start(self, folder: Path) -> None:
        """Begin to follow a run whose record has begun."""
        if self._config is None:
            return
        self._folder = folder
        said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the others)
        self._said = self._resources.enter_context(said)
        place, experiment = self._config.place(folder.resolve().parent), self._config.experiment
        ours = str(Path(__file__).resolve().parents[2])
        self._child = subprocess.Popen(
            [sys.executable, "-m", "launcher.local.tracker", str(folder.resolve()), place, experiment],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([ours, os.environ.get("PYTHONPATH", "")])},
            start_new_session=True,  # Ctrl-C is for the run
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        with self._resources:
            if self._config is None or self._child is None:
                return
            patience = self._config.patience_s
            self.outcome = self._end(patience if kind is None else min(patience, AFTER_STOP_S))

    def _end(self, patience_s: float) -> str:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        child.stdin.close()
        try:
            status = child.wait(patience_s)
        except subprocess.TimeoutExpired:
            return self._missing(f"MLflow took longer than {patience_s:g} s")
        finally:
            child.kill()
            child.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines() or [""]
        if status == 0:
            return lines[-1]
        return self._missing(lines[-1] if status == 1 else f"the tracker was killed (status {status})")

    def _missing(self, why: str) -> str:
        return f"The record in MLflow is not whole ({why}). Complete it with: tsa track {self._folder}"


def follow(folder: Path, place: str, experiment: str) -> str:
    """Record a run again whenever its files have changed, until standard input closes.

    Raises:
        ValueError: the last try failed.
    """
    mlflow: MLflow | None = None
    seen = None
    while True:
        over = bool(select.select([sys.stdin], [], [], POLL_S)[0])
        mark = _mark(folder)
        if over or mark != seen:
            try:
                mlflow = mlflow or _connected(place, experiment)
                said = record(folder, place, experiment, mlflow)
                seen = mark
            except ValueError:
                if over:
                    raise
        if over:
            return said


def _connected(place: str, experiment: str) -> MLflow:
    try:
        return MLflow(place, experiment)
    except TrackingProblem as error:
        raise NotRecorded(blot(str(error), {os.environ.get(name, "") for name in SECRETS})) from None


def _mark(folder: Path) -> list[tuple[str, int, int]]:
    """Changes whenever there is something new to record."""
    files = [folder / "run.json", *sorted((folder / "stages").glob(CURVES))]
    states = [(file, file.stat()) for file in files if file.exists()]
    return [(str(file), state.st_size, state.st_mtime_ns) for file, state in states]


if __name__ == "__main__":
    try:
        print(follow(Path(sys.argv[1]), *sys.argv[2:4]))
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()))
        raise SystemExit(1) from None
