"""Paths that the stages of a run will look for, against the volumes they mount."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from launcher.stages import ClusterSettings
from tsa_model.settings.run import RunConfig

CHAMPION_STAGES = ("validate_events", "compare_champion")
MONITORED = ("reference", "scores", "history", "labels")
"""Inputs of the monitoring pipeline alone; its events are read by the same stage."""
MINUTE_S = 60


def check_places(settings: ClusterSettings, arguments: Mapping[str, Any]) -> None:
    """Refuse a run whose stages would not find what they are told to read.

    Args:
        settings: what each stage gets.
        arguments: the run's arguments.

    Raises:
        ValueError: a path lies on no volume of the stage that reads it, or a stage ends before its TrainJob.
    """
    events, champion = arguments.get("events") or "", arguments.get("champion") or ""
    if events and "://" not in events and MONITORED[0] not in arguments:
        _check(settings, "--events", events, ("validate_events",), ", or give a location such as s3://...")
    if champion:
        _check(settings, "--champion", champion, CHAMPION_STAGES, "")
    for name in MONITORED:
        for path in filter(None, str(arguments.get(name) or "").split(",")):
            if "://" not in path:
                _check(
                    settings, name, path.strip(), ("monitor_scores",), ", or give a location such as s3://..."
                )
    if MONITORED[0] in arguments:
        return
    job = RunConfig.load(arguments.get("config") or "demo").train_job
    if job is None:
        return
    _check(settings, "train_job.shared_dir", job.shared_dir, ("train_model",), "")
    limit = settings.stages["train_model"].timeout_s
    if limit is not None and limit <= job.timeout_minutes * MINUTE_S:
        raise ValueError(
            f"the stage train_model is stopped after {limit} s (timeout_s), before its TrainJob may take "
            f"{job.timeout_minutes:g} minutes (train_job.timeout_minutes): give the stage longer"
        )


def _check(settings: ClusterSettings, what: str, path: str, stages: tuple[str, ...], other_way: str) -> None:
    place = PurePosixPath(path)
    if not place.is_absolute():
        raise ValueError(
            f"{what} {path!r}: a cluster does not see the files of this machine; name a path on a "
            f"volume that the stages mount{other_way}"
        )
    for stage in stages:
        mounts = [volume.mount for volume in settings.stages[stage].volumes]
        if not any(place.is_relative_to(mount) for mount in mounts):
            raise ValueError(
                f"{what} {path!r} lies on no volume of the stage {stage}, which mounts "
                f"{', '.join(mounts) or 'none'}: add the volume to its `volumes` in a file for --stages"
                f"{other_way}"
            )
