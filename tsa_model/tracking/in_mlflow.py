"""Write recordings to MLflow: as often as one likes, by processes that may be killed, each run once."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tsa_model.tracking.recording import Attachment, Point, Recording

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

IDENTITY = "tsa.run"
"""Tag by which a run is found again."""
RECORDED = "tsa.recorded"
"""Tag with the digest of what was written, set last."""
ENVIRONMENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow sends usage data by default
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""What MLflow reads from the environment, where nobody set it otherwise."""
SECRETS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""Variables whose values must never show."""
MOST_METRICS, MOST_OTHERS = 1000, 100
"""Most of one request."""
LONGEST_PARAMETER, LONGEST_TAG = 6000, 5000
"""Characters that every supported server takes."""

T = TypeVar("T")


class TrackingProblem(ValueError):
    """The record could not be written; the text is for people, and may repeat a secret of `SECRETS`."""


class MLflow:
    """One experiment of an MLflow server or file store.

    Args:
        place: address of a server, or the path of a folder, which is made.
        experiment: its name; it is made when it is absent.
    """

    def __init__(self, place: str, experiment: str) -> None:
        self.place, self.experiment = place, experiment
        self._sent: dict[str, tuple[int, int]] = {}
        with clear(self.place):
            self._client = connect(place)
            self._experiment_id = self._find_experiment()

    def write(self, recording: Recording) -> bool:
        """Bring MLflow's run up to date; what is there already is not written again.

        Args:
            recording: of a run, whole or as far as it got. Files that were sent by this object before and
                have not changed are not sent again.

        Returns:
            Whether anything had to be written.

        Raises:
            TrackingProblem: MLflow refused, or cannot be reached; another call completes the record.
        """
        with clear(self.place):
            digest = recording.digest()
            run = self._run_of(recording)
            if run.data.tags.get(RECORDED) == digest:
                return False
            run_id = run.info.run_id
            self._write_values(run, recording)
            for attachment in recording.attachments:
                self._send(run_id, attachment)
            if recording.ended is not None:
                self._client.set_terminated(run_id, recording.status, milliseconds(recording.ended))
                self._client.set_tag(run_id, RECORDED, digest)
            return True

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self.experiment))
            except MlflowException:  # another process was faster, or its answer was lost
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackingProblem(
                f"the experiment {self.experiment!r} in {self.place} was deleted: restore it, or name another"
            )
        return str(found.experiment_id)

    def _run_of(self, recording: Recording) -> Run:
        """MLflow's run; of several, which lost answers can leave, the first is kept."""
        found = self._search(f"tags.`{IDENTITY}` = '{recording.identity}'") or self._orphans(recording)
        if not found:
            self._client.create_run(
                self._experiment_id,
                start_time=milliseconds(recording.started),
                tags={IDENTITY: recording.identity},
                run_name=recording.name,
            )
            found = self._search(f"tags.`{IDENTITY}` = '{recording.identity}'")
        if not found:
            raise TrackingProblem(f"{self.place} does not show the run that was made: try again")
        kept, *others = sorted(found, key=lambda run: run.info.run_id)
        for other in others:
            self._client.delete_run(other.info.run_id)
        return kept

    def _orphans(self, recording: Recording) -> list[Run]:
        """Runs that a process made and was killed before it could say whose they are."""
        name = recording.name.replace("'", "")
        return [
            run
            for run in self._search(f"attributes.run_name = '{name}'")
            if IDENTITY not in run.data.tags and run.info.start_time == milliseconds(recording.started)
        ]

    def _search(self, what: str) -> list[Run]:
        return list(self._client.search_runs([self._experiment_id], what))

    def _write_values(self, run: Run, recording: Recording) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id, data = run.info.run_id, run.data
        tags = {IDENTITY: recording.identity, **recording.tags}
        changed = [
            RunTag(name, text[:LONGEST_TAG])
            for name, text in tags.items()
            if data.tags.get(name) != text[:LONGEST_TAG]
        ]
        new = [
            Param(name, text[:LONGEST_PARAMETER])
            for name, text in recording.parameters.items()
            if name not in data.params
        ]
        points = [Metric(*_in_order(point)) for point in self._missing(run, recording.points)]
        for some_changed in _pieces(changed, MOST_OTHERS):
            self._client.log_batch(run_id, tags=some_changed)
        for some_new in _pieces(new, MOST_OTHERS):
            self._client.log_batch(run_id, params=some_new)
        for some_points in _pieces(points, MOST_METRICS):
            self._client.log_batch(run_id, metrics=some_points)

    def _missing(self, run: Run, points: Sequence[Point]) -> Iterator[Point]:
        """The points that MLflow does not have yet; a changed value is written beside the old one."""
        known = {
            (name, one.step, one.value)
            for name in {point.name for point in points} & run.data.metrics.keys()
            for one in self._client.get_metric_history(run.info.run_id, name)
        }
        return (point for point in points if (point.name, point.step, point.value) not in known)

    def _send(self, run_id: str, attachment: Attachment) -> None:
        state = attachment.file.stat()
        mark = state.st_size, state.st_mtime_ns
        if self._sent.get(attachment.name) == mark:
            return
        folder, _, name = attachment.name.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            copy = shutil.copyfile(attachment.file, Path(temporary) / name)
            self._client.log_artifact(run_id, str(copy), folder or None)
        self._sent[attachment.name] = mark


@contextmanager
def clear(place: str) -> Iterator[None]:
    """Turn whatever MLflow raises into one sentence.

    Args:
        place: which is named in it.

    Raises:
        TrackingProblem: something was raised.
    """
    try:
        yield
    except TrackingProblem:
        raise
    except Exception as error:  # MLflow passes on what requests, boto3 and others raise
        words = " ".join(str(error).split()) or type(error).__name__
        raise TrackingProblem(f"MLflow at {place}: {words}") from error


def connect(place: str) -> MlflowClient:
    """A client of MLflow that sends no usage data and writes no lines of its own.

    Args:
        place: address of a server, or the path of a folder.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module="mlflow")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    address = place if "://" in place else Path(place).absolute().as_uri()
    return MlflowClient(tracking_uri=address, registry_uri=address)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time of this machine write about a run; nothing in its folder changes.

    Args:
        folder: the run's.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def milliseconds(moment: datetime) -> int:
    """Since 1970, UTC."""
    return round(moment.timestamp() * 1000)


def _in_order(point: Point) -> tuple[str, float, int, int]:
    """As MLflow's Metric takes it."""
    return point.name, point.value, point.time_ms, point.step


def _pieces(items: Iterable[T], most: int) -> Iterator[list[T]]:
    listed = list(items)
    for start in range(0, len(listed), most):
        yield listed[start : start + most]
