"""Exported models that several test files share; an export takes half a minute."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from support import golden
from support.batches import tiny_config, tiny_network
from support.exported import export, golden_network, session_of
from support.shared import SharedFolder

from tsa_model import Network
from tsa_model.export.session import ScoringSession


class Exported(NamedTuple):
    """A network, its file and a session of it."""

    session: ScoringSession
    network: Network
    path: Path


@pytest.fixture(scope="session")
def dual(shared_folder):
    """A session of the legacy's dual network, its network, and the path of the file."""
    meta, inputs, outputs = golden.load("dual_moe")
    network = golden_network(meta, torch.float32)
    folder = shared_folder("dual", lambda made: export(network, made / "model.onnx"))
    return session_of(folder / "model.onnx"), network, folder / "model.onnx", inputs, outputs


@pytest.fixture(scope="session")
def small_dual(shared_folder):
    """Both histories, a layer with three wide experts each, one category that is aggregated in one layer."""
    layers = {"n_layers_order": 1, "n_layers_feature": 1, "dim_attn_feedforward": 3000}
    config = tiny_config(n_cat_features=1, n_num_features=1, feature_aggregation="linear", **layers)
    return _exported(tiny_network(config), shared_folder, "small_dual")


@pytest.fixture(scope="session")
def small_single(shared_folder):
    """One history, no mixtures or engineered features; the branch over the current order's numbers, trees."""
    heads = {"use_mlp": True, "boosted_trees": 5, "tree_leaves": 12, "tree_depth": 6}
    config = tiny_config("single", use_moe=False, n_engineered_num_features=0, num_heads=1, **heads)
    return _exported(tiny_network(config), shared_folder, "small_single")


def _exported(network: Network, shared_folder: SharedFolder, name: str) -> Exported:
    path = shared_folder(name, lambda made: export(network, made / "model.onnx")) / "model.onnx"
    return Exported(session_of(path), network, path)
