"""Capturing a baseline: run a legacy model once, keep inputs, outputs and weights."""

from __future__ import annotations

import copy
import importlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsa_model.batch import LABEL, Batch, as_dtype
from tsa_model.files import atomic_folder, write_json
from tsa_model.legacy.baseline import MANIFEST, BaselineFile, BaselineManifest
from tsa_model.legacy.errors import EquivalenceError
from tsa_model.outputs import check_replaceable
from tsa_model.sealed import list_files, with_seal
from tsa_model.settings.model import ModelConfig

Outputs = Tensor | tuple[Tensor, ...] | list[Tensor] | Mapping[str, Tensor]
Legacy = Callable[[Batch], Outputs]
DETERMINISTIC = "deterministic"
"""The policy of a legacy that keeps every second expert, whatever its batch."""
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}


def capture(
    legacy: Legacy,
    config: ModelConfig,
    batch: Batch,
    folder: str | Path,
    weights: Mapping[str, Tensor] | None = None,
    policy: str = "random",
    seed: int = 0,
    name: str = "captured",
) -> list[str]:
    """Run a legacy model on a batch and write what came out as a baseline.

    Args:
        legacy: takes a batch (TSA spec, section 1), returns logits [B, classes] alone or with the ensemble,
            as a pair or as a dictionary. A `torch.nn.Module` runs in evaluation mode, and in float64 too.
        config: the TSA configuration that describes it.
        batch: the rows.
        folder: the baseline to create or replace.
        weights: legacy parameter name → tensor; None = `legacy.state_dict()`.
        policy: what its mixture of experts does with the second expert in evaluation.
        seed: given to `torch.manual_seed` before every run.
        name: of the baseline.

    Returns:
        Names of the captured outputs.

    Raises:
        EquivalenceError: there are no weights, or the callable returns something else.
    """
    weights = legacy_weights(legacy) if weights is None else weights
    _check_request(config, policy, name)
    arrays: dict[str, np.ndarray] = {f"in/{key}": x.numpy() for key, x in batch.items()}
    arrays |= {f"weight/{key}": x.detach().cpu().numpy() for key, x in weights.items()}
    outputs = _run(legacy, batch, policy, seed)
    arrays |= {f"out/{key}": values for key, values in outputs.items()}
    total = sum(x.detach().double().abs().sum().item() for x in weights.values())
    arrays["out/f64/weight_abs_sum"] = np.array(total)
    meta = {
        "kind": config.sequences,
        "config": config.model_dump(mode="json", exclude={"sequences"}),
        "random_seed": seed,
        "state_names": list(weights),
        "policies": [policy],
    }
    check_replaceable(Path(folder), str(folder))
    with atomic_folder(folder) as temporary:
        file = temporary / f"{name}.npz"
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
        files = [BaselineFile(file=key, sha256=each.sha256) for key, each in list_files(temporary).items()]
        manifest = BaselineManifest(name=name, files=tuple(files))
        content = manifest.model_dump(mode="json", exclude={"description"})
        write_json(temporary / MANIFEST, with_seal(content))
    return [key.replace(f"/{policy}/", "/") for key in outputs]


def _check_request(config: ModelConfig, policy: str, name: str) -> None:
    queues = config.use_moe and config.moe_form == "top2_capacity"
    if queues and config.moe_eval == "deterministic" and policy != DETERMINISTIC:
        raise EquivalenceError(
            "the configuration says moe_eval: deterministic, and the policy about second experts is "
            f"{policy!r}: give the legacy's own configuration (moe_eval: legacy), or capture with the policy "
            f"{DETERMINISTIC!r} if the legacy itself keeps every second expert"
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise EquivalenceError(f"the name {name!r} cannot be a file's: use letters, digits, '_', '-' and '.'")


def legacy_weights(legacy: Legacy) -> Mapping[str, Tensor]:
    """The weights of a module.

    Raises:
        EquivalenceError: it is a plain callable, which keeps its weights to itself.
    """
    if isinstance(legacy, nn.Module):
        return legacy.state_dict()
    raise EquivalenceError(
        f"the legacy is no torch.nn.Module but {type(legacy).__name__}: its weights must be given"
        " (--weights, a safetensors file with the legacy's parameter names)"
    )


def _run(legacy: Legacy, batch: Batch, policy: str, seed: int) -> dict[str, np.ndarray]:
    """What the legacy gives, by `<precision>/<policy>/<output>`."""
    outputs = {}
    for precision, dtype in PRECISIONS.items():
        model: Any = legacy
        if isinstance(legacy, nn.Module):
            model = copy.deepcopy(legacy).to(dtype).eval()
        elif precision == "f64":
            continue  # a plain callable has the precision it has
        torch.manual_seed(seed)
        with torch.no_grad():
            found = model(as_dtype(batch, dtype))
        for key, x in _named(found, len(batch[LABEL])).items():
            outputs[f"{precision}/{policy}/{key}"] = x.detach().cpu().numpy()
    return outputs


def _named(found: Outputs, n_rows: int) -> dict[str, Tensor]:
    """`logits`, and `ensemble` where it was returned."""
    if isinstance(found, Tensor):
        found = {"logits": found}
    elif not isinstance(found, Mapping):
        found = dict(zip(("logits", "ensemble"), found, strict=False))
    named = {key: found[key] for key in ("logits", "ensemble") if key in found}
    logits = named.get("logits")
    if logits is None or logits.dim() != 2 or len(logits) != n_rows:
        shape = None if logits is None else tuple(logits.shape)
        raise EquivalenceError(
            f"the legacy returned {type(found).__name__} with logits of shape {shape}; "
            f"expected logits [{n_rows}, classes], alone or followed by the ensemble"
        )
    return named


def load_callable(text: str) -> Legacy:
    """`package.module:factory` → what the factory returns; the factory takes no arguments.

    Raises:
        EquivalenceError: there is no such module or attribute.
    """
    module_name, _, attribute = text.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EquivalenceError(f"{text!r} is not `module:factory`: {error}") from error
    return factory()
