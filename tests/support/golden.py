"""The legacy's frozen outputs in `tests/golden`, and the weights they were computed with.

Weights are not stored. Each is a function of its legacy name, its shape and the file's salt.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsa_model.calibration import MonotoneSpline
from tsa_model.legacy.baseline import default_baseline

GOLDEN_DIR = Path(__file__).parents[1] / "golden"
RECORDED_DIR = default_baseline()
"""Golden files that the gate reads too."""

_GATE_SCORE = "gate_score.3.weight"


def load(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read one golden file.

    Args:
        name: file name without `.npz`.

    Returns:
        meta, inputs, and outputs; outputs' names start with `f32/` or `f64/`.
    """
    arrays = _read(name)
    meta = json.loads(arrays["meta"].item())
    # A copy for every test: torch writes into the arrays it is given.
    inputs = {key.removeprefix("in/"): x.copy() for key, x in arrays.items() if key.startswith("in/")}
    outputs = {key.removeprefix("out/"): x.copy() for key, x in arrays.items() if key.startswith("out/")}
    return meta, inputs, outputs


@cache
def calibration(n_rows: int) -> tuple[dict[str, np.ndarray], MonotoneSpline]:
    """The legacy's fit of so many orders, with their scores and labels, and ours of the same orders."""
    legacy = _read(f"calibration_{n_rows}")
    return legacy, MonotoneSpline.fit(legacy["score"], legacy["label"])


@cache
def _read(name: str) -> dict[str, np.ndarray]:
    """All arrays of a file, by their names in it."""
    folder = RECORDED_DIR if (RECORDED_DIR / f"{name}.npz").exists() else GOLDEN_DIR
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def parameter(name: str, shape: Sequence[int], salt: int) -> np.ndarray:
    """float32 values of the parameter with this legacy name and shape."""
    generator = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), salt]))
    normal = generator.standard_normal(tuple(shape))
    is_weight = name.endswith("weight")
    if name.endswith("w_gating"):
        values = normal
    elif is_weight and "layer_norm" in name:
        values = 1 + 0.1 * normal
    elif len(shape) > 1:
        values = normal / np.sqrt(shape[-1])
    else:
        values = 0.1 * normal
    values = values.astype(np.float32)
    if is_weight and "embedding" in name:
        values[0] = 0  # the padding row
    return values


def shared_tables(names: Iterable[str]) -> list[list[str]]:
    """Group the names of embedding tables that are one tensor in the network, in the order given."""
    groups: dict[str, list[str]] = {"sequence": [], "engineered": [], "gate": []}
    for name in names:
        if name.endswith("embedding_engineered.weight"):
            groups["engineered"].append(name)
        elif name in ("embedding_gate.weight", "gate_emb.embedding.weight"):
            groups["gate"].append(name)
        elif name == "embedding.weight" or name.endswith(".embedding.weight"):
            groups["sequence"].append(name)
    return [group for group in groups.values() if len(group) > 1]


def state_dict(shapes: Mapping[str, Sequence[int]], salt: int) -> dict[str, torch.Tensor]:
    """Weights of a block or a network.

    Args:
        shapes: legacy name → shape, in state-dict order. Every name of a shared table takes the values
            of the first.
        salt: the golden file's.

    Returns:
        name → float32 tensor.
    """
    source = {name: group[0] for group in shared_tables(shapes) for name in group}
    return {
        name: torch.from_numpy(parameter(source.get(name, name), shape, salt))
        for name, shape in shapes.items()
    }


def network_state_dict(
    meta: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Weights of the network of one golden file.

    Args:
        meta: the file's meta; `state_names` gives the names and their order.
        shapes: name → shape of at least those names, for instance of the network's own state dict.
        dtype: precision of the run; the gate's scale is applied in it.

    Returns:
        name → tensor of that dtype.
    """
    float32 = state_dict({name: shapes[name] for name in meta["state_names"]}, meta["salt"])
    weights = {name: value.to(dtype) for name, value in float32.items()}
    if meta.get("gate_score_weight_scale") is not None:
        weights[_GATE_SCORE] *= meta["gate_score_weight_scale"]
    return weights
