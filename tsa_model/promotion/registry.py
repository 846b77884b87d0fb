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

from pydantic import Field, model_validator

from tsa_model.files import atomic_folder
from tsa_model.promotion.comparison import Comparison, ModelIdentity
from tsa_model.promotion.figures import TestFigure, figures_of
from tsa_model.sealed import Digest, Signed, check_together, read_json, read_sealed, write_sealed
from tsa_model.settings import Settings

POINTER = "champion.json"
MODELS = "models"
ID_LENGTH = 16
IN_A_NEW_VOLUME = {"lost+found"}
"""What an empty volume may hold."""


class Entry(Settings):
    """One change of the model in use."""

    action: Literal["promote", "rollback"]
    id: str = Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")
    """The beginning of the digest; the folder's name."""
    model: str
    """The model folder, relative to the pointer file."""
    digest: Digest
    previous: str | None
    """Id of the model to go back to; None = this was the first."""
    time: datetime
    comparison: dict[str, str] = {}
    """Check → what it found; empty for a rollback."""
    figures: dict[str, TestFigure] = {}
    """Of the model's own test period, as far as its scores lay beside it when it was promoted."""

    @model_validator(mode="after")
    def _check(self) -> Entry:
        if not self.digest.startswith(self.id):
            raise ValueError(f"the id {self.id} is not the beginning of the digest {self.digest}")
        if self.model != f"{MODELS}/{self.id}":
            raise ValueError(f"the model {self.model!r} is not the registry's folder {MODELS}/{self.id}")
        return self


class Pointer(Signed):
    """What is in use, and how it came about."""

    format: Literal[1] = 1
    current: Entry
    history: tuple[Entry, ...]
    """Every change, the newest last, which is `current`."""

    @model_validator(mode="after")
    def _check(self) -> Pointer:
        if not self.history or self.history[-1] != self.current:
            raise ValueError("the model in use is not the newest entry of the history")
        return self


class EmptyPointer(Signed):
    """The pointer file of a registry that was made, and no model was promoted in it yet."""

    format: Literal[1] = 1
    current: None
    history: tuple[Entry, ...] = Field(default=(), max_length=0)


class Registry:
    """A folder with the pointer file, on a volume that one or several machines mount.

    A folder without the file is refused, never taken for one without a champion: a volume that is not mounted
    looks just so.

    Args:
        directory: made by `init`.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def init(self) -> None:
        """Make the registry: a pointer file that says that there is no champion yet.

        Raises:
            ValueError: it is made already, or the folder holds something else; nothing was changed.
        """
        path = self.directory / POINTER
        if path.exists() or path.is_symlink():
            raise ValueError(f"{self.directory} is a registry already: it has a {POINTER}")
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"{self.directory} is a file: a registry is a folder")
        others = {one.name for one in self.directory.iterdir()} if self.directory.exists() else set()
        if others - IN_A_NEW_VOLUME:
            raise ValueError(
                f"{self.directory} holds {', '.join(sorted(others - IN_A_NEW_VOLUME)[:3])}: make the registry"
                " in a new or empty folder"
            )
        write_sealed(path, EmptyPointer(current=None))

    def pointer(self) -> Pointer | None:
        """What is in use; None before the first promotion.

        Raises:
            ValueError: this is no registry, or the pointer file is not what this program writes.
        """
        path = self.directory / POINTER
        if not path.is_file():
            raise ValueError(self._no_registry())
        what = "a pointer to the model in use"
        if read_json(path, what).get("current", "") is None:
            read_sealed(path, EmptyPointer, what)
            return None
        return read_sealed(path, Pointer, what)

    def champion_dir(self) -> Path | None:
        """The folder of the model in use, found whole; None before the first promotion.

        Raises:
            ValueError: this is no registry, or what the pointer says of the model is not so.
        """
        pointer = self.pointer()
        return None if pointer is None else self._checked_folder(pointer.current)

    def _checked_folder(self, entry: Entry) -> Path:
        """The model folder of an entry, if it lies in the registry and is the model that was promoted."""
        folder = self.directory / entry.model
        inside = self.directory.resolve()
        for path in (folder, *folder.rglob("*")):
            if not path.resolve().is_relative_to(inside):
                raise ValueError(f"{path} is a link that leads out of the registry {self.directory}")
        check_together(
            "the model folder is",
            (folder, _identity(folder).digest),
            (self.directory / POINTER, entry.digest),
            "it is another model than was promoted",
        )
        return folder

    def _no_registry(self) -> str:
        """Why the folder is no registry, and what to do."""
        from tsa_model.export.file_names import DESCRIPTION_FILE

        where = self.directory
        if not where.exists():
            what = "does not exist: is the path right, and the volume mounted?"
        elif not where.is_dir():
            what = "is a file: a registry is a folder."
        elif (where / DESCRIPTION_FILE).is_file():
            what = "is a model folder, not a registry."
        else:
            what = f"has no {POINTER}: is the path right, and the volume mounted?"
        return (
            f"the champion's registry {where} {what} A new registry is made with"
            f" 'tsa promote init --registry {where}'"
        )

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
        figures = figures_of(Path(challenger_dir), comparison)
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
                    figures=figures,
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
        with self._locked():
            pointer = self.pointer()
            if pointer is None:
                raise ValueError(f"{self.directory} has no champion yet")
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
            self._checked_folder(target)
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
        write_sealed(self.directory / POINTER, Pointer(current=entry, history=(*history, entry)))
        return entry

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one change at a time read and write the pointer; a folder that is no registry is left alone."""
        self.pointer()
        with open(self.directory / ".lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _identity(model_dir: str | Path) -> ModelIdentity:
    """Which model a folder holds; opening it checks that it is whole."""
    from tsa_model.scoring.model import ScoringModel  # numpy: reading a history does without

    return ModelIdentity.of(ScoringModel.load(model_dir))
