"""Runs that were asked for without learning whether they began: the same command asks first the next time."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from launcher.kubeflow.connection import Connection
from tsa_model.files import atomic_file
from tsa_model.sealed import digest_of
from tsa_model.settings import Settings

FOLDER = "tsa-pipeline/pending"
"""Below the user's folder for state."""
KEPT_S = 6 * 3600
"""After this time the same command means another run."""


class PendingRun(Settings):
    """A run that was asked for."""

    name: str
    known: tuple[str, ...]
    """Ids of the runs that had this name before."""
    asked_at: float
    """Seconds since 1970."""


class Pending:
    """The note about one request, in a file of this user; where no file can be written there is none.

    Args:
        connection: the server.
        request: what is asked for: the same content is the same request.
    """

    def __init__(self, connection: Connection, **request: object) -> None:
        key = digest_of({"host": connection.host, "namespace": connection.namespace} | request)
        home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        self._file = Path(home).expanduser() / FOLDER / f"{key}.json"

    def read(self) -> PendingRun | None:
        """What an earlier try asked for without learning of the outcome."""
        try:
            found = PendingRun.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
        return found if time.time() - found.asked_at < KEPT_S else None

    def write(self, name: str, known: tuple[str, ...]) -> None:
        """Note a request before it is sent."""
        note = PendingRun(name=name, known=known, asked_at=time.time())
        # A home that cannot be written to is no reason to start no run.
        with suppress(OSError), atomic_file(self._file) as temporary:
            temporary.write_text(note.model_dump_json(), encoding="utf-8")

    def remove(self) -> None:
        """The outcome is known."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
