"""Networks of the golden files, and ONNX sessions of small networks."""

from __future__ import annotations

from pathlib import Path

import torch
from support import golden

from tsa_model import ModelConfig, Network, build_network, load_legacy_state_dict
from tsa_model.export.graph import write_onnx
from tsa_model.export.session import ScoringSession, SessionSettings


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


def onnx_session(network: Network, path: Path) -> ScoringSession:
    export(network, path)
    return session_of(path)
