"""Connect a champion's registry with others once, and bring them in line with its pointer afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from launcher.errors import LauncherError
from launcher.registration.kubeflow import ModelRegistry
from launcher.registration.versions import RegistrationProblem, Version, wanted
from launcher.secrets import blot
from tsa_model.promotion.registry import Registry
from tsa_model.sealed import Signed, read_sealed, write_sealed
from tsa_model.settings.base import in_words
from tsa_model.settings.registration import RegistrationConfig
from tsa_model.tracking.in_mlflow import SECRETS
from tsa_model.tracking.models import MLflowModels, ModelEntry

FILE = "registration.json"
"""Beside the pointer."""


class Connected(Signed):
    """Where the models of a champion's registry are registered, too."""

    format: Literal[1] = 1
    places: RegistrationConfig


def connect(directory: Path, config: RegistrationConfig) -> None:
    """Let other registries follow this one from now on.

    Raises:
        ValueError: the folder is no registry.
    """
    Registry(directory).pointer()
    write_sealed(directory / FILE, Connected(places=config))


def read_places(given: dict[str, str]) -> RegistrationConfig:
    """The places as a command was given them.

    Raises:
        ValueError: one does not fit; a line says which.
    """
    try:
        return RegistrationConfig.model_validate(given)
    except ValidationError as error:
        raise ValueError(in_words(error, RegistrationConfig)) from None


def places_of(directory: Path) -> RegistrationConfig | None:
    """The registries that follow this one; None = none was connected.

    Raises:
        ValueError: the file is not what this program writes.
    """
    path = directory / FILE
    return read_sealed(path, Connected, "a list of registries").places if path.is_file() else None


def bring_in_line(directory: Path) -> list[str]:
    """Bring every connected registry in line with the pointer.

    Args:
        directory: of the champion's registry.

    Returns:
        What was done, line by line; nothing where none is connected.

    Raises:
        RegistrationProblem: one could not be brought in line; the others were.
        ValueError: the folder is no registry.
    """
    config = places_of(directory)
    if config is None:
        return []
    versions, left_out = wanted(directory, config)
    lines = [f"not registered: {one}" for one in left_out]
    if not versions:
        return [*lines, "there is no champion yet, so there is nothing to register"]
    problems = []
    for place, follow in (("Model Registry", _kubeflow), ("MLflow", _mlflow)):
        try:
            changes = follow(config, versions)
        except (LauncherError, ValueError, OSError) as error:
            problems.append(f"{place}: {blot(str(error), _secrets())}")
            continue
        if changes is not None:
            lines.append(f"{place}: {versions[-1].id} is the champion of {config.name!r}; {changes} changes")
    if problems:
        raise RegistrationProblem("\n".join([*lines, *problems, _remedy(directory)]))
    return lines


def _kubeflow(config: RegistrationConfig, versions: list[Version]) -> int | None:
    if not config.model_registry:
        return None
    return ModelRegistry(config.model_registry, config.name).follow(versions)


def _mlflow(config: RegistrationConfig, versions: list[Version]) -> int | None:
    if not config.mlflow:
        return None
    entries = [
        ModelEntry(
            one.id,
            one.uri,
            one.description,
            {name: str(value) for name, value in one.properties.items()},
            one.is_champion,
        )
        for one in versions
    ]
    return MLflowModels(config.mlflow, config.name).follow(entries)


def _secrets() -> set[str]:
    return {os.environ.get(name, "") for name in (*SECRETS, "MODEL_REGISTRY_TOKEN")}


def _remedy(directory: Path) -> str:
    return (
        "The champion's pointer is changed and stays so; bring the registries in line with: "
        f"tsa promote sync --registry {directory}"
    )
