"""Training on the nodes of a TrainJob: hand the store over, follow the job, fetch what it made."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from train_job.api import JobApi
from train_job.errors import TrainJobError, UnavailableError
from train_job.manifest import job_name, train_job
from train_job.pod import StagePod
from train_job.watch import condition, watch
from tsa_model.files import atomic_folder, write_json
from tsa_model.network.checkpoint import read_description
from tsa_model.settings.run import RunConfig
from tsa_model.settings.train_job import TrainJobConfig

Answer = TypeVar("Answer")
GRACE_S = 25.0
"""Of the 30 seconds that Kubernetes gives a pod between SIGTERM and its end."""
DELETE_POLL_S = 0.5


def train_on_nodes(
    store_dir: Path, run: RunConfig, config: TrainJobConfig, model_dir: Path, log_dir: Path
) -> dict[str, Any]:
    """Train a model on the nodes of a TrainJob.

    After a failure the shared folder stays: the next attempt of the same run goes on from its resume points.

    Args:
        store_dir: the sequence store.
        run: the run description, with the training settings as they are to be.
        config: its `train_job` section.
        model_dir: the model folder to write.
        log_dir: CSV log and resume points, copied from the nodes.

    Returns:
        What `tsa_model.training.train_model` returned on the first node.

    Raises:
        TrainJobError: the TrainJob did not give a model.
    """
    api = JobApi.connect()
    stage = StagePod.of(_patiently(api.own_pod, config))
    stage.check_shared(config.shared_dir)
    name = job_name(stage, run)
    folder = Path(config.shared_dir) / name
    manifest = train_job(name, run, config, stage, folder)
    if not (folder / "store").is_dir():
        with atomic_folder(folder / "store") as temporary:
            shutil.copytree(store_dir, temporary, dirs_exist_ok=True)
    write_json(folder / "run.json", run.model_dump(mode="json"))
    error_file = folder / "log" / "error.json"
    error_file.unlink(missing_ok=True)
    try:
        with _deleted_when_interrupted(api, name):
            _create(api, manifest, config, folder)
            watch(api, name, config, lambda line: print(line, flush=True))
    except TrainJobError as error:
        _remove(api, name, config, succeeded=False)
        cause = json.loads(error_file.read_text(encoding="utf-8")) if error_file.is_file() else None
        raise TrainJobError(
            f"{cause['type']}: {cause['message']}\n{error}" if cause else str(error)
        ) from None
    metrics = _fetch(folder, model_dir, log_dir)
    _remove(api, name, config, succeeded=True)
    shutil.rmtree(folder)
    return metrics


def _fetch(folder: Path, model_dir: Path, log_dir: Path) -> dict[str, Any]:
    """Copy model and log from the shared volume and return the metrics."""
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for made, target in ((folder / "model", model_dir), (folder / "log", log_dir)):
        with atomic_folder(target) as temporary:
            shutil.copytree(made, temporary, dirs_exist_ok=True)
    if read_description(model_dir).weights_sha256 != metrics["weights_sha256"]:
        raise TrainJobError(f"{folder}: the model and the metrics are not of the same training")
    return metrics


def _create(api: JobApi, manifest: dict[str, Any], config: TrainJobConfig, folder: Path) -> None:
    """Create the TrainJob, or go on with the one that an earlier attempt of this run left.

    A left one that failed, or whose model was fetched already, is replaced.
    """
    name = manifest["metadata"]["name"]
    deadline = time.monotonic() + config.unreachable_minutes * 60
    while not _patiently(lambda: api.create(manifest), config):
        left = _patiently(lambda: api.train_job(name), config)
        if left is not None and not left["metadata"].get("deletionTimestamp"):
            was_fetched = condition(left, "Complete") and not (folder / "metrics.json").is_file()
            if not (condition(left, "Failed") or was_fetched):
                print(f"TrainJob {name} is there already: following it", flush=True)
                return
            print(f"TrainJob {name} of an earlier attempt has ended: replacing it", flush=True)
            api.delete(name)
        if time.monotonic() > deadline:
            raise TrainJobError(f"TrainJob {name} of an earlier attempt does not go away")
        time.sleep(config.poll_seconds)
    print(f"TrainJob {name} created in namespace {api.namespace!r}", flush=True)


def _remove(api: JobApi, name: str, config: TrainJobConfig, succeeded: bool) -> None:
    """Delete the TrainJob unless it is to stay; one that is not final never stays."""
    with _best_effort(name):
        job = api.train_job(name)
        is_final = job is not None and (condition(job, "Complete") or condition(job, "Failed"))
        stays = config.keep == "always" or (config.keep == "failed" and not succeeded)
        if job is not None and not (is_final and stays):
            api.delete(name)


@contextmanager
def _best_effort(name: str) -> Iterator[None]:
    """Tidying up must not hide how the training ended."""
    try:
        yield
    except (TrainJobError, UnavailableError) as error:
        print(f"TrainJob {name} could not be removed: {error}", flush=True)


@contextmanager
def _deleted_when_interrupted(api: JobApi, name: str) -> Iterator[None]:
    """Delete the TrainJob when this process is told to stop: nobody would fetch its model."""

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        with _best_effort(name):
            _delete_in_time(api, name)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _delete_in_time(api: JobApi, name: str) -> None:
    """Delete the TrainJob; an API that is away is asked again until Kubernetes kills this process."""
    deadline = time.monotonic() + GRACE_S
    while True:
        try:
            return api.delete(name)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
        time.sleep(DELETE_POLL_S)


def _patiently(call: Callable[[], Answer], config: TrainJobConfig) -> Answer:
    """Repeat a request until the API answers, as long as the configuration allows."""
    deadline = time.monotonic() + config.unreachable_minutes * 60
    while True:
        try:
            return call()
        except UnavailableError as error:
            if time.monotonic() > deadline:
                raise TrainJobError(
                    f"no answer for {config.unreachable_minutes:g} minutes: {error}"
                ) from None
        time.sleep(config.poll_seconds)
