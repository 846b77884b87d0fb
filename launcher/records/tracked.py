"""What MLflow gets of a run, all of it read from its files: settings, figures, curves, reports, digests."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from launcher.records.figures import (
    COMPARISON,
    CONTRACTS,
    METRICS,
    MOST_BYTES,
    ONNX,
    TRAINED,
    TRAINED_METADATA,
    VERDICT,
    at,
    read,
)
from launcher.records.listing import Run, run_in
from launcher.records.record import NAME, State
from tsa_model.settings.run import RunConfig
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.tracking.in_mlflow import milliseconds
from tsa_model.tracking.recording import Attachment, Point, Recording, Status

STATUS: dict[State, Status] = {
    "not started": "RUNNING",
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
CURVES = "train-model/logs/**/csv/version_*/metrics.csv"
"""Written by Lightning, below `stages`; several after a resumed training or of several members."""
PLOTS = "generate-scores/scores/plots/*"
DOCUMENTS = (VERDICT, ONNX, COMPARISON, METRICS, *CONTRACTS.values())
SCORES = "generate-scores/scores/manifest.json"
DIGESTS = {
    "weights": (TRAINED, (*TRAINED_METADATA, "weights_sha256")),
    "verdict": (VERDICT, ("sha256",)),
    "store": (VERDICT, ("store_digest",)),
    "events": (ONNX, ("events_sha256",)),
    "onnx": (ONNX, ("onnx_sha256",)),
    "scores": (SCORES, ("sha256",)),
    "comparison": (COMPARISON, ("sha256",)),
}
"""Tag → the file below `stages` and the place in it."""
NO_RUN = "{folder} is no run: it has no arguments.json; tsa runs lists the runs"
_FORBIDDEN = re.compile(r"[^\w\-. /]")
"""Characters that MLflow takes in no name."""


def recording_of(folder: Path) -> Recording:
    """What the files of a run say now.

    Args:
        folder: the run's.

    Raises:
        ValueError: it is no run, or was made by a version that kept no record of it.
    """
    if not (folder / "arguments.json").is_file():
        raise ValueError(NO_RUN.format(folder=folder))
    if not (folder / NAME).is_file():
        raise ValueError(f"{folder} has no {NAME}: a former version made it, which kept no times")
    run = run_in(folder)
    ended = None if run.seconds is None else run.started + timedelta(seconds=run.seconds)
    if run.state == "stopped" and ended is None:
        ended = _last_change(folder)
    return Recording(
        identity=identity(run),
        name=run.name,
        started=run.started,
        ended=ended,
        status=STATUS[run.state],
        parameters=dict(_parameters(run)),
        points=tuple(_points(run)),
        tags=dict(_tags(run)),
        attachments=tuple(_attachments(run)),
    )


def identity(run: Run) -> str:
    """The same for a run wherever its folder lies."""
    about = (
        f"{run.data_set} {run.started.isoformat()}".encode() + (run.folder / "arguments.json").read_bytes()
    )
    return hashlib.sha256(about).hexdigest()[:32]


def _last_change(folder: Path) -> datetime:
    """When a killed run last wrote its record."""
    return datetime.fromtimestamp((folder / NAME).stat().st_mtime).astimezone()


def _parameters(run: Run) -> Iterator[tuple[str, str]]:
    """Every setting of the run, defaults included."""
    arguments = read(run.folder / "arguments.json") or {}
    for name, value in arguments.items():
        if name != "config":
            yield _named(name), str(value)
    try:
        config = RunConfig.load(arguments.get("config", "demo"))
    except ValueError:  # a setting that this version no longer knows
        yield from ((_named(name), value) for name, value in run.settings.items() if name not in arguments)
        return
    for name, value in _flat("", config.model_dump(mode="json", exclude={"tracking"})):
        yield _named(name), str(value)


def _points(run: Run) -> Iterator[Point]:
    end = milliseconds(run.started) + round(1000 * (run.seconds or 0))
    for name, value in _flat("", (read(run.folder / "stages" / METRICS) or {}).get("test", {})):
        yield from _point(f"test/{name.removesuffix('.value')}", value, 0, end)
    metadata = at(read(run.folder / "stages" / TRAINED), TRAINED_METADATA)
    for name, value in _flat("", metadata or {}):
        yield from _point(f"best/{name}", value, 0, end)
    for name, value in _flat("", at(read(run.folder / "stages" / ONNX), ("parity",)) or {}):
        yield from _point(f"parity/{name}", value, 0, end)
    for stage in run.stages:
        if stage.seconds is not None and stage.state in ("succeeded", "failed"):
            yield from _point(f"seconds/{_stage(stage.name)}", stage.seconds, 0, end)
    yield from _curves(run)


def _point(name: str, value: Any, step: int, time_ms: int) -> Iterator[Point]:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield Point(_named(name), float(value), step, time_ms)


def _curves(run: Run) -> Iterator[Point]:
    """The metrics that Lightning logged, the last value of each epoch.

    A resumed training writes a further file, whose epochs replace those that it repeats. Times are spread
    evenly over the stage, because the files hold none.
    """
    stages = run.folder / "stages"
    files = sorted(stages.glob(CURVES), key=lambda file: (len(str(file)), str(file)))
    values: dict[tuple[str, int], float] = {}
    for file in files:
        member = file.relative_to(stages / "train-model/logs").parts[0]
        values |= _epochs(file, f"{member}/" if member.startswith("member_") else "")
    trained = next((stage for stage in run.stages if stage.name == "train-model"), None)
    began = milliseconds(trained.started) if trained and trained.started else milliseconds(run.started)
    epochs = max((epoch for _, epoch in values), default=0)
    for (name, epoch), value in values.items():
        share = epoch / epochs if trained and trained.seconds else 0.0
        spread = round(1000 * share * (trained.seconds or 0)) if trained else 0
        yield from _point(name, value, epoch, began + spread)


def _epochs(file: Path, prefix: str) -> dict[tuple[str, int], float]:
    """Metric and epoch, from 1 → the last value; a line that is still being written is left out."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    known = [(float(row["step"]), int(row["epoch"])) for row in rows if row.get("epoch") and row.get("step")]
    values: dict[tuple[str, int], float] = {}
    for row in rows:
        step = row.get("step") or "0"
        after = [epoch for last, epoch in known if last >= float(step)]
        epoch = int(row["epoch"]) if row.get("epoch") else after[0] if after else len(known) and known[-1][1]
        for name, text in row.items():
            if name in (None, "epoch", "step") or not text or not isinstance(text, str):
                continue
            try:
                values[prefix + name, epoch + 1] = float(text)
            except ValueError:
                continue
    return values


def _tags(run: Run) -> Iterator[tuple[str, str]]:
    yield "tsa.data_set", run.data_set
    yield "tsa.state", run.state
    yield "tsa.folder", str(run.folder)
    for stage in run.stages:
        words = [stage.state, f"{stage.seconds:.1f} s" if stage.seconds is not None else ""]
        words += [stage.key_figure or stage.error]
        yield f"tsa.stage.{_stage(stage.name)}", ", ".join(filter(None, words))
    for check in run.checks:
        state = "passed" if check.passed else "NOT passed"
        yield f"tsa.check.{_named(check.name)}", f"{state}: {check.words}"
    if gate := at(read(run.folder / "stages" / VERDICT), ("verdict_id",)):
        yield "tsa.gate", str(gate)
    for name, (file, pointer) in DIGESTS.items():
        digest = at(read(run.folder / "stages" / file), pointer)
        if isinstance(digest, str) and digest:
            yield f"tsa.sha256.{name}", digest


def _attachments(run: Run) -> Iterator[Attachment]:
    stages = run.folder / "stages"
    for report in run.pages:
        stage, name = Path(report).parts[-2:]
        yield Attachment(f"reports/{_stage(stage)}/{name}", run.folder / report)
    for page in sorted(stages.glob("*.html")):
        yield Attachment(f"reports/{page.name}", page)
    for plot in sorted(stages.glob(PLOTS)):
        yield Attachment(f"figures/{plot.name}", plot)
    for file in sorted(stages.glob(CURVES)):
        version = file.relative_to(stages / "train-model/logs").parts
        yield Attachment(f"curves/{'/'.join(part for part in version if part != 'csv')}", file)
    for document in DOCUMENTS:
        if (stages / document).is_file():
            stage, name = document.split("/")[0], document.split("/")[-1]
            name = name if name.endswith(".json") else f"{name}.json"
            yield Attachment(f"documents/{_stage(stage)}/{name}", stages / document)
    for log in sorted((run.folder / "logs").glob("*.log")):
        if log.stat().st_size <= MOST_BYTES:
            yield Attachment(f"logs/{log.name}", log)
    for name in (NAME, "arguments.json", "pipeline.yaml"):
        yield Attachment(f"run/{name}", run.folder / name)


def _flat(prefix: str, content: Any) -> Iterator[tuple[str, Any]]:
    """Dotted name → value; lists stay whole."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), value)
    elif prefix:
        yield prefix, content


def _named(name: str) -> str:
    """As MLflow takes it: recall@1.0% becomes recall_at_1.0_percent."""
    return _FORBIDDEN.sub("_", name.replace("@", "_at_").replace("%", "_percent"))


def _stage(name: str) -> str:
    """Its function's name: kfp writes hyphens where that has underscores."""
    return name.replace("-", "_")


def tracking_of(folder: Path) -> TrackingConfig:
    """The `tracking` section of a run's description; the defaults where it has none.

    Raises:
        ValueError: the folder is no run.
    """
    if not (folder / "arguments.json").is_file():
        raise ValueError(NO_RUN.format(folder=folder))
    arguments = read(folder / "arguments.json") or {}
    try:
        return RunConfig.load(arguments.get("config", "demo")).tracking or TrackingConfig()
    except ValueError:  # a setting that this version no longer knows
        return TrackingConfig()
