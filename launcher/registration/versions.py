"""What a registry should hold: a version for each model that was ever champion, one of them in use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from launcher.errors import LauncherError
from tsa_model.promotion.registry import Entry, Registry
from tsa_model.settings.registration import RegistrationConfig

PROOFS = ("gate", "parity", "contracts")
"""Checks without which no model is promoted."""
Value = str | float


class RegistrationProblem(LauncherError):
    """The registries could not be brought up to date; the pointer stands as it is."""


class Version(NamedTuple):
    """One model as registries describe it."""

    id: str
    """As the pointer has it."""
    uri: str
    """Where those who serve find its folder."""
    description: str
    properties: dict[str, Value]
    is_champion: bool


def wanted(directory: Path, config: RegistrationConfig) -> tuple[list[Version], list[str]]:
    """The versions that the registries should hold, the champion last.

    Args:
        directory: of the champion's registry.
        config: where its models are registered.

    Returns:
        The versions, and what is left out and why. No champion yet = no versions.

    Raises:
        RegistrationProblem: the champion's chain of proof is broken, so that nothing may be registered.
        ValueError: this is no registry.
    """
    pointer = Registry(directory).pointer()
    if pointer is None:
        return [], []
    promoted = {entry.id: entry for entry in pointer.history if entry.action == "promote"}
    champion = pointer.current.id
    versions, left_out = [], []
    for name, entry in sorted(promoted.items(), key=lambda item: (item[0] == champion, item[1].time)):
        problem = _broken(directory, entry)
        if problem and name == champion:
            raise RegistrationProblem(f"{name} is not registered: {problem}")
        if problem:
            left_out.append(f"{name}: {problem}")
            continue
        versions.append(_version(directory, entry, config, name == champion))
    if champion not in promoted:
        raise RegistrationProblem(f"{champion} is not registered: no entry of the history promoted it")
    return versions, left_out


def _broken(directory: Path, entry: Entry) -> str:
    """Why a model may not be registered; empty = its chain is whole."""
    from tsa_model.audit import audit_model

    missing = [name for name in PROOFS if name not in entry.comparison]
    if missing:
        return f"its promotion names no {', '.join(missing)}"
    audit = audit_model(directory / entry.model, directory)
    return "" if audit.passed else audit.links[-1].finding


def _version(directory: Path, entry: Entry, config: RegistrationConfig, is_champion: bool) -> Version:
    from tsa_model.audit.model import read_model

    about = read_model(directory / entry.model)
    properties: dict[str, Value] = {
        "tsa.id": entry.id,
        "tsa.sha256": entry.digest,
        "tsa.onnx_sha256": about.onnx_sha256,
        "tsa.weights_sha256": about.weights_sha256,
        "tsa.store_sha256": about.store_sha256,
        "tsa.gate": about.verdict_id,
        "tsa.location": config.uri(entry.model),
        "tsa.promoted": entry.time.isoformat(),
    }
    for name, reason in entry.comparison.items():
        properties[f"tsa.check.{name}"] = reason
    for name, figure in entry.figures.items():
        key = f"tsa.test.{name.replace('@', '_at_').replace('%', '_percent')}"
        bounds = {key: figure.value, f"{key}.low": figure.low, f"{key}.high": figure.high}
        properties |= {key: value for key, value in bounds.items() if value is not None}
    words = f"TSA fraud model, gate {about.verdict_id[:12]}, promoted {entry.time:%Y-%m-%d %H:%M} UTC"
    return Version(entry.id, config.uri(entry.model), words, properties, is_champion)
