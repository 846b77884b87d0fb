"""What MLflow is told about a run, as plain values."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from tsa_model.files import sha256

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's words for the state of a run."""


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    step: int
    """Epoch, from 1; 0 = the value is of the whole run."""
    time_ms: int
    """Since 1970, UTC."""


class Attachment(NamedTuple):
    """A file of the run, and what it is called in MLflow."""

    name: str
    """Path with folders, such as reports/train_model/report.html."""
    file: Path


class Recording(NamedTuple):
    """One run, whole or as far as it got."""

    identity: str
    """The same for the same run, whenever and wherever it is recorded."""
    name: str
    started: datetime
    ended: datetime | None
    status: Status
    parameters: dict[str, str]
    points: tuple[Point, ...]
    tags: dict[str, str]
    attachments: tuple[Attachment, ...]

    def digest(self) -> str:
        """Hex SHA-256 of all of it, the bytes of the attached files included."""
        files = {one.name: sha256(one.file) for one in self.attachments}
        content = [*self[:2], str(self.started), str(self.ended), *self[4:8], files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
