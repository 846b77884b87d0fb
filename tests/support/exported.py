"""Networks of the golden files, and ONNX sessions of small networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from support import golden

from tsa_model import ModelConfig, Network, build_network, load_legacy_state_dict
from tsa_model.export.description import read_onnx_folder, write_description
from tsa_model.export.graph import write_onnx
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.files import sha256, write_json
from tsa_model.scoring.model import CALIBRATOR_FILE, FITTED_FOR, PERCENTILE_FILE


def golden_network(meta: dict, dtype: torch.dtype) -> Network:
    config = ModelConfig(**meta["config"], sequences=meta["kind"], moe_eval="deterministic")
    network = build_network(config, "reference").to(dtype).eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    load_legacy_state_dict(network, golden.network_state_dict(meta, shapes, dtype))
    return network


def export(network: Network, path: Path) -> None:
    write_onnx(network, path, {"verdict_id": "none"})


def session_of(path: Path) -> ScoringSession:
    return ScoringSession(path, SessionSettings())


def change_model(folder: Path, change: Callable[[onnx.ModelProto], None], **stated: str) -> None:
    """Change the ONNX file of a model folder, and all that states its digest.

    Args:
        folder: of an exported model.
        change: what to do to the model.
        stated: entries of `onnx.json` and of the model's own metadata with other values.
    """
    description = read_onnx_folder(folder)
    path = folder / description.model_file
    model = onnx.load(path)
    change(model)
    for entry in model.metadata_props:
        entry.value = stated.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString(deterministic=True))
    digest = sha256(path)
    for calibrator in (folder / PERCENTILE_FILE, folder / CALIBRATOR_FILE):
        if calibrator.is_file():
            write_json(calibrator, json.loads(calibrator.read_text()) | {FITTED_FOR: digest})
    write_description(description.changed(onnx_sha256=digest, **stated), folder)
