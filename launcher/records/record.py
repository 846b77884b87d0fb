"""The record of one run, written while it runs: its stages, their states and times."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, NonNegativeFloat, ValidationError

from tsa_model.files import write_json
from tsa_model.settings import Settings, in_words

NAME = "run.json"
State = Literal["not started", "running", "succeeded", "failed", "stopped"]


class StageRecord(Settings):
    """One stage of a run."""

    name: str
    """As kfp writes it, which is the name of its folder below `stages`."""
    after: tuple[str, ...] = ()
    """The stages whose outputs it reads, or whose passing it waits for."""
    state: State = "not started"
    started: AwareDatetime | None = None
    seconds: NonNegativeFloat | None = None
    key_figure: str = ""
    error: str = ""
    log: str = ""
    """Path within the run's folder."""


class RunRecord(Settings):
    """One run."""

    format: Literal[1] = 1
    data_set: str
    state: State = "running"
    started: AwareDatetime
    seconds: NonNegativeFloat | None = None
    stages: tuple[StageRecord, ...]

    @classmethod
    def read(cls, folder: Path) -> RunRecord | None:
        """The record of a run's folder; None = there is none, as in runs of older versions.

        Raises:
            ValueError: the file is no record.
        """
        file = folder / NAME
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ValueError(f"{file} is no record of a run: {in_words(error, cls)}") from None


class Recorder:
    """Keeps the record of a running run up to date; the file is whole at every moment.

    Args:
        folder: the run's.
        data_set: name of the data set.
        stages: stage → the stages before it, in the order they run.
    """

    def __init__(self, folder: Path, data_set: str, stages: dict[str, tuple[str, ...]]) -> None:
        self._folder = folder
        made = tuple(StageRecord(name=name, after=after) for name, after in stages.items())
        self._record = RunRecord(data_set=data_set, started=datetime.now(UTC), stages=made)
        self._write()

    def start(self, stage: str, log: Path) -> None:
        """A stage begins."""
        self._change(
            stage, state="running", started=datetime.now(UTC), log=str(log.relative_to(self._folder))
        )

    def end(self, stage: str, seconds: float, key_figure: str) -> None:
        """A stage succeeded."""
        self._change(stage, state="succeeded", seconds=seconds, key_figure=key_figure)

    def fail(self, stage: str, error: str) -> None:
        """A stage failed."""
        began = next((one.started for one in self._record.stages if one.name == stage), None)
        seconds = (datetime.now(UTC) - began).total_seconds() if began else None
        self._change(stage, state="failed", error=error, seconds=seconds)

    def close(self, state: State) -> None:
        """The run is over; a stage that was running ends with it."""
        for stage in self._record.stages:
            if stage.state == "running":
                self._change(stage.name, state=state)
        seconds = (datetime.now(UTC) - self._record.started).total_seconds()
        self._record = self._record.changed(state=state, seconds=seconds)
        self._write()

    def _change(self, stage: str, **fields: object) -> None:
        stages = tuple(one.changed(**fields) if one.name == stage else one for one in self._record.stages)
        self._record = self._record.changed(stages=stages)
        self._write()

    def _write(self) -> None:
        write_json(self._folder / NAME, self._record.model_dump(mode="json"))
