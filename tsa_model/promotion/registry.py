"""The place of the model in use: a small pointer file, whole model folders beside it, and a history.

champion.json          which model is in use, and every change so far
models/<id>/           the model folders it has pointed to
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tsa_model.files import atomic_folder, write_json
from tsa_model.promotion.comparison import Comparison, ModelIdentity
from tsa_model.sealed import read_document
from tsa_model.settings import Settings

POINTER = "champion.json"
MODELS = "models"
ID_LENGTH = 16


class Entry(Settings):
    """One change of the model in use."""

    action: Literal["promote", "rollback"]
    id: str
    """The beginning of the digest; the folder's name."""
    model: str
    """The model folder, relative to the pointer file."""
    digest: str
    previous: str | None
    """Id of the model to go back to; None = this was the first."""
    time: datetime
    comparison: dict[str, str] = {}
    """Check → what it found; empty for a rollback."""


class Pointer(Settings):
    """The content of the pointer file."""

    format: Literal[1] = 1
    current: Entry
    history: tuple[Entry, ...]
    """Every change, the newest last, which is `current`."""


class Registry:
    """A folder with the pointer file, on a volume that one or several machines mount.

    Args:
        directory: created with the first promotion.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def pointer(self) -> Pointer | None:
        """What is in use; None before the first promotion.

        Raises:
            ValueError: the pointer file cannot be read.
        """
        path = self.directory / POINTER
        if not path.is_file():
            return None
        return read_document(path, Pointer, "a pointer to the model in use")

    def champion_dir(self) -> Path | None:
        """The folder of the model in use; None before the first promotion."""
        pointer = self.pointer()
        return None if pointer is None else self.directory / pointer.current.model

    def promote(self, challenger_dir: str | Path, comparison: Comparison) -> Entry:
        """Put a model in use. The pointer is swapped last, in one step; doing it twice changes nothing.

        Args:
            challenger_dir: the compared model folder; it is copied.
            comparison: must have passed, and be about this model and the champion of now.

        Raises:
            ValueError: it must not be promoted; nothing was changed.
        """
        identity = _identity(challenger_dir)
        if comparison.challenger != identity:
            raise ValueError(
                f"the comparison is about the model {comparison.challenger.digest}, {challenger_dir} is"
                f" {identity.digest}: compare this one"
            )
        if not comparison.passed:
            raise ValueError(f"the challenger is not promoted: {comparison.failures}")
        with self._locked():
            pointer = self.pointer()
            current = None if pointer is None else pointer.current
            if current is not None and current.digest == identity.digest:
                return current
            compared = None if comparison.champion is None else comparison.champion.digest
            if compared != (None if current is None else current.digest):
                raise ValueError(
                    f"the champion is {current.id if current else 'not set'}, the comparison was with"
                    f" {compared or 'none'}: compare again"
                )
            name = identity.digest[:ID_LENGTH]
            self._keep(challenger_dir, identity, self.directory / MODELS / name)
            return self._swap(
                pointer,
                Entry(
                    action="promote",
                    id=name,
                    model=f"{MODELS}/{name}",
                    digest=identity.digest,
                    previous=None if current is None else current.id,
                    time=datetime.now(UTC),
                    comparison={check.name: check.reason for check in comparison.checks},
                ),
            )

    def rollback(self, to: str | None = None) -> Entry:
        """Go back to an earlier model.

        Args:
            to: its id in the history; None = the one before the current one, and with each further call one
                further back.

        Raises:
            ValueError: there is none, or its folder is not whole; nothing was changed.
        """
        if self.pointer() is None:  # asked before locking, which makes the folder
            raise ValueError(f"{self.directory} has no champion yet")
        with self._locked():
            pointer = self.pointer()
            assert pointer is not None
            wanted = to or pointer.current.previous
            if wanted is None:
                raise ValueError(f"{pointer.current.id} is the first champion: there is none to go back to")
            found = [entry for entry in pointer.history if entry.id == wanted]
            if not found:
                known = ", ".join(dict.fromkeys(entry.id for entry in pointer.history))
                raise ValueError(f"{wanted!r} was never champion; the history has {known}")
            if wanted == pointer.current.id:
                raise ValueError(f"{wanted} is the champion already")
            target = found[-1]
            digest = _identity(self.directory / target.model).digest
            if digest != target.digest:
                raise ValueError(f"{self.directory / target.model} is another model than was promoted")
            changes = {"action": "rollback", "time": datetime.now(UTC), "comparison": {}}
            return self._swap(pointer, target.changed(**changes))

    def _keep(self, model_dir: str | Path, identity: ModelIdentity, target: Path) -> None:
        """Copy a model folder to its place, unless it was champion before and is there."""
        if not target.is_dir():
            with atomic_folder(target) as folder:
                shutil.copytree(model_dir, folder, dirs_exist_ok=True)
        if _identity(target) != identity:
            raise ValueError(f"{target} holds another model than {model_dir}")

    def _swap(self, pointer: Pointer | None, entry: Entry) -> Entry:
        history = () if pointer is None else pointer.history
        new = Pointer(current=entry, history=(*history, entry))
        write_json(self.directory / POINTER, new.model_dump(mode="json"))
        return entry

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one change at a time read and write the pointer."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / ".lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _identity(model_dir: str | Path) -> ModelIdentity:
    """Which model a folder holds; opening it checks that it is whole."""
    from tsa_model.scoring.model import ScoringModel  # numpy: reading a history does without

    return ModelIdentity.of(ScoringModel.load(model_dir))
