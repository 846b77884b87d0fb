"""Baselines on disk: what a legacy model computed, with which weights, on which inputs.

The format is described in docs/BASELINE.md.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tsa_model.batch import Batch
from tsa_model.files import sha256
from tsa_model.legacy.errors import EquivalenceError
from tsa_model.network.implementation import ImplementationName
from tsa_model.network.legacy_weights import load_legacy_state_dict
from tsa_model.network.networks import Network, build_network
from tsa_model.network.unfilled import unfilled
from tsa_model.sealed import (
    Digest,
    Sealed,
    check_files,
    check_together,
    read_document,
    read_sealed,
)
from tsa_model.settings import Settings
from tsa_model.settings.model import ModelConfig

MANIFEST = "baseline.json"
KINDS = ("single", "dual", "losses")
NETWORKS = ("single", "dual")
"""Kinds of files with a network's outputs: a baseline without one says nothing of any network."""
DEFAULT_SHA256 = "68395a97e10662b773ee0cd0bb9a57b6de7b33cb42da9327b0af80a993545fee"
"""Of the default baseline's manifest, which holds the digest of each of its files."""


class BaselineFile(Settings):
    """A file as the manifest of a baseline lists it."""

    file: str
    """Path relative to the manifest."""
    sha256: Digest


class BaselineManifest(Sealed):
    """What a baseline holds: the content of `baseline.json`; `capture` seals it."""

    format: Literal[1] = 1
    name: str | None = None
    """Shown in the report; None = the folder's name."""
    description: str | None = None
    """For people."""
    files: tuple[BaselineFile, ...]


@dataclass(frozen=True)
class Recording:
    """One file of a baseline.

    Attributes:
        title: baseline and file name.
        meta: see docs/BASELINE.md.
        arrays: name → array, names as in the file.
    """

    title: str
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def batch(self) -> Batch:
        """The inputs, rows first."""
        return {
            name.removeprefix("in/"): torch.from_numpy(array)
            for name, array in self.arrays.items()
            if name.startswith("in/")
        }

    def output(self, precision: str, name: str) -> Tensor | None:
        """`out/<precision>/<name>` as float64; None = it was not captured."""
        array = self.arrays.get(f"out/{precision}/{name}")
        return None if array is None else torch.from_numpy(np.asarray(array, dtype=np.float64))

    def runs(self) -> list[str]:
        """Evaluation runs: second-expert policies, and `deterministic`."""
        found = {
            name.split("/")[2] for name in self.arrays if name.endswith("/logits") and name[:4] == "out/"
        }
        return sorted(found - {"train", "steps"})

    @cached_property
    def config(self) -> ModelConfig:
        """Of the network that was captured.

        Raises:
            EquivalenceError: it is not a valid configuration.
        """
        try:
            return ModelConfig(sequences=self.meta["kind"], **self.meta["config"])
        except (ValueError, TypeError, KeyError) as error:
            raise EquivalenceError(
                f"baseline {self.title}: its configuration is not valid: {error}"
            ) from error

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Legacy name → float64 tensor: stored, or made again from names and salt."""
        stored = {
            name.removeprefix("weight/"): torch.from_numpy(array).double()
            for name, array in self.arrays.items()
            if name.startswith("weight/")
        }
        if stored:
            return stored
        return _salted_weights(self.meta, self.config)

    def network(self, implementation: ImplementationName) -> Network:
        """A float64 network with the baseline's weights, in training mode.

        Raises:
            EquivalenceError: the weights do not fit the configuration, or are not those of the outputs.
        """
        network = build_network(self.config, implementation).double()
        try:
            load_legacy_state_dict(network, self.weights)
        except ValueError as error:
            raise EquivalenceError(f"baseline {self.title}: {error}") from error
        total = sum(x.abs().sum().item() for x in network.state_dict().values())
        recorded = self.output("f64", "weight_abs_sum")
        if recorded is not None and abs(total - recorded.item()) > 1e-6 * recorded.item():
            raise EquivalenceError(
                f"baseline {self.title}: its outputs were computed with other weights "
                f"(sum of |w| {recorded.item():.9g}, these weights have {total:.9g})"
            )
        return network


def default_baseline() -> Path:
    """Where the golden tensors of the legacy lie.

    Raises:
        EquivalenceError: this installation lacks them, or has others.
    """
    folder = Path(__file__).resolve().parent / "recorded"
    if not (folder / MANIFEST).is_file():
        raise EquivalenceError(f"the default baseline is not installed: no {MANIFEST} in {folder}")
    try:
        check_together(
            "the default baseline is",
            (folder / MANIFEST, sha256(folder / MANIFEST)),
            ("this program", DEFAULT_SHA256),
            "install the program again",
        )
    except ValueError as error:
        raise EquivalenceError(str(error)) from error
    return folder


def read_baseline(folder: str | Path) -> list[Recording]:
    """Read every file of a baseline after comparing its digest with the manifest.

    Raises:
        EquivalenceError: the manifest or a file is missing, altered or not of this format, or no file holds a
            network's outputs.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        missing = f"{folder} is not a baseline (see docs/BASELINE.md)"
        manifest = read_document(path, BaselineManifest, "a baseline manifest", missing)
        if not manifest.files:
            raise ValueError(f"{path} lists no file: a baseline of nothing proves nothing")
        digests = {item.file: item.sha256 for item in manifest.files}
        if len(digests) < len(manifest.files):
            raise ValueError(f"{path} lists a file twice")
        check_files(folder, digests, (MANIFEST,), "the baseline was altered")
    except ValueError as error:
        raise EquivalenceError(str(error)) from error
    recordings = [_read(folder / name, manifest.name or folder.name) for name in digests]
    _check_whole(path, manifest, recordings)
    return recordings


def _check_whole(path: Path, manifest: BaselineManifest, recordings: list[Recording]) -> None:
    """Refuse a baseline without a network's outputs, or with another manifest than was sealed."""
    if not any(recording.meta["kind"] in NETWORKS for recording in recordings):
        kinds = ", ".join(sorted({str(recording.meta["kind"]) for recording in recordings}))
        raise EquivalenceError(
            f"{path} lists no recording of a network, only {kinds}: a baseline needs one of kind"
            f" {' or '.join(NETWORKS)}; take the whole baseline"
        )
    try:
        if manifest.sha256 is not None:
            read_sealed(path, BaselineManifest, "a baseline manifest")
    except ValueError as error:
        raise EquivalenceError(str(error)) from error


def _read(path: Path, baseline: str) -> Recording:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != "meta"}
            meta = json.loads(archive["meta"].item())
    except (ValueError, KeyError, OSError) as error:
        raise EquivalenceError(f"baseline file {path} is not readable: {error}") from error
    if meta.get("kind") not in KINDS:
        raise EquivalenceError(f"baseline file {path}: kind {meta.get('kind')!r} is not one of {KINDS}")
    return Recording(f"{baseline}/{path.stem}", meta, arrays)


def _salted_weights(meta: dict[str, Any], config: ModelConfig) -> dict[str, Tensor]:
    """Weights that are a function of name, shape and salt; of a shared table the first name counts."""
    with unfilled():
        own = build_network(config, "reference").state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name in meta["state_names"]:
        if name not in own:
            raise EquivalenceError(f"the baseline has a parameter {name}, its configuration has none")
        first.setdefault(id(own[name]), name)
    weights = {
        name: torch.from_numpy(_salted(first[id(own[name])], tuple(own[name].shape), meta["salt"])).double()
        for name in meta["state_names"]
    }
    if meta.get("gate_score_weight_scale") is not None:
        weights["gate_score.3.weight"] *= meta["gate_score_weight_scale"]
    return weights


def _salted(name: str, shape: tuple[int, ...], salt: int) -> np.ndarray:
    z = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), salt])).standard_normal(shape)
    if name.endswith("w_gating"):
        values = z
    elif "layer_norm" in name and name.endswith("weight"):
        values = 1 + 0.1 * z
    elif len(shape) > 1:
        values = z / np.sqrt(shape[-1])
    else:
        values = 0.1 * z
    values = values.astype(np.float32)
    if "embedding" in name and name.endswith("weight"):
        values[0] = 0
    return values
