"""The model folder: weights as safetensors, everything else as JSON, each held to the other by a digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.files import atomic_folder, sha256
from tsa_model.network.description import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    ModelDescription,
    read_description,
)
from tsa_model.network.implementation import ImplementationName
from tsa_model.network.networks import Network, build_network
from tsa_model.outputs import check_replaceable
from tsa_model.sealed import write_sealed

__all__ = [
    "DESCRIPTION_FILE",
    "WEIGHTS_FILE",
    "CheckpointError",
    "ModelDescription",
    "load_model",
    "read_description",
    "save_model",
    "unshared",
]


def save_model(network: Network, directory: str | Path, metadata: dict[str, Any] | None = None) -> str:
    """Write a network's weights and configuration as a model folder, all or nothing.

    Args:
        network: whose `state_dict` and `config` are saved. A table several modules share is saved once.
        directory: the folder to create or replace.
        metadata: anything JSON can hold about how the weights came about.

    Returns:
        Hex SHA-256 of the weights file.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in unshared(network).items()}
    _check_finite(tensors, "the network")
    check_replaceable(Path(directory), str(directory))
    with atomic_folder(directory) as folder:
        save_file(tensors, folder / WEIGHTS_FILE)
        digest = sha256(folder / WEIGHTS_FILE)
        description = ModelDescription(config=network.config, weights_sha256=digest, metadata=metadata or {})
        write_sealed(folder / DESCRIPTION_FILE, description)
    return digest


def load_model(directory: str | Path, implementation: ImplementationName = "fast") -> Network:
    """Build the network of a model folder and load its weights, in evaluation mode.

    Args:
        directory: written by `save_model`.
        implementation: how the network computes; the weights belong to both.

    Raises:
        CheckpointError: a file is missing or unreadable, the weights' digest differs from the recorded one,
            a weight is not finite, or names, shapes or types do not match the configuration.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = read_description(directory)
    path = Path(directory) / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {directory} is not a whole model folder")
    digest = sha256(path)
    if digest != description.weights_sha256:
        raise CheckpointError(
            f"{path} has the SHA-256 {digest}, but {DESCRIPTION_FILE} was written for"
            f" {description.weights_sha256}: the weights were changed or belong to another model"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    _check_finite(tensors, str(path))
    network = build_network(description.config, implementation)
    _check_matches(tensors, unshared(network), path)
    with torch.no_grad():
        for name, target in unshared(network).items():
            target.copy_(tensors[name])
    return network.eval()


def copy_model(directory: str | Path, target: Path) -> None:
    """Copy weights and description of a model folder, byte by byte, into a new folder."""
    target.mkdir()
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        shutil.copyfile(Path(directory) / name, target / name)


def unshared(module: nn.Module) -> dict[str, Tensor]:
    """The state dict without second names of one tensor: a table several modules share appears once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor
    return tensors


def _check_finite(tensors: dict[str, Tensor], where: str) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            n_bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(f"{where}: {n_bad} of the {tensor.numel()} values of {name} are not finite")


def _check_matches(tensors: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    missing, surplus = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or surplus:
        raise CheckpointError(
            f"{path} does not fit its configuration: missing {missing or 'nothing'},"
            f" surplus {surplus or 'nothing'}"
        )
    for name, target in expected.items():
        found = tensors[name]
        if found.shape != target.shape or found.dtype != target.dtype:
            raise CheckpointError(
                f"{path}: {name} is {found.dtype} {list(found.shape)},"
                f" the configuration asks for {target.dtype} {list(target.shape)}"
            )
