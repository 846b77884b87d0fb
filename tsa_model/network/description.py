"""`model.json`: which weights and which configuration a model folder holds. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tsa_model.sealed import Digest, Sealed, check_files, digest_of, read_sealed
from tsa_model.settings.model import ModelConfig

DESCRIPTION_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"


class CheckpointError(ValueError):
    """A model folder that is incomplete, altered or does not fit its own configuration."""


class ModelDescription(Sealed):
    """What a model folder holds: the content of `model.json`, which also states its own digest."""

    format: Literal[1] = 1
    config: ModelConfig
    weights_sha256: Digest
    """Of the weights file."""
    metadata: dict[str, Any] = {}
    """How the weights came about."""

    @property
    def store_sha256(self) -> str | None:
        """Of the sequence store the weights were trained on; None = they were not trained by this program."""
        found = self.metadata.get("store_digest")
        return None if found is None else str(found)


def read_description(directory: str | Path) -> ModelDescription:
    """The content of `model.json`.

    Raises:
        CheckpointError: the file is missing, no JSON, of an unknown format, or was edited.
    """
    path, missing = Path(directory) / DESCRIPTION_FILE, f"{directory} is not a model folder"
    try:
        return read_sealed(path, ModelDescription, "a model description", missing)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def check_model_folder(directory: str | Path, description: ModelDescription) -> None:
    """Hold the files of a model folder against its description: the weights it states, and nothing else.

    Raises:
        CheckpointError: the weights are missing or others, or another file lies there.
    """
    listed = {WEIGHTS_FILE: description.weights_sha256}
    try:
        check_files(Path(directory), listed, (DESCRIPTION_FILE,), "the model folder is not whole")
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def config_digest(config: ModelConfig) -> str:
    """Digest of a configuration as it is judged and exported, that is with deterministic evaluation.

    Settings at their defaults do not count: a setting that a later version adds is off by default, and the
    models of before, the champion in use among them, must keep their digest.
    """
    return digest_of(config.model_dump(mode="json", exclude={"moe_eval"}, exclude_defaults=True))
