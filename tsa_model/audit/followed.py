"""The champion of a registry as a service follows it: found by its pointer, verified before it is used."""

from __future__ import annotations

from pathlib import Path

from tsa_model.audit.model import audit_model
from tsa_model.files import sha256
from tsa_model.promotion.registry import POINTER, Registry


class FollowedChampion:
    """The model in use of a registry.

    Args:
        directory: the registry.
    """

    def __init__(self, directory: str | Path) -> None:
        self._registry = Registry(directory)

    def pointer(self) -> str:
        """Digest of the pointer file."""
        return sha256(self._registry.directory / POINTER)

    def verified(self) -> Path:
        """The champion's folder, its chain of proof found whole.

        Raises:
            ValueError: there is no champion, or a link of its chain is broken.
        """
        folder = self._registry.champion_dir()
        if folder is None:
            raise ValueError(f"{self._registry.directory} has no champion yet: promote a model first")
        audit = audit_model(folder, self._registry.directory)
        if not audit.passed:
            broken = audit.links[-1]
            raise ValueError(f"{folder}: the chain of proof is broken at {broken.name}: {broken.finding}")
        return folder
