"""Exported models that several test files share; an export takes half a minute."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from support import golden
from support.batches import tiny_config, tiny_network
from support.exported import golden_network, onnx_session

from tsa_model import Network
from tsa_model.export.session import ScoringSession


class Exported(NamedTuple):
    """A network, its file and a session of it."""

    session: ScoringSession
    network: Network
    path: Path


@pytest.fixture(scope="session")
def dual(tmp_path_factory):
    """A session of the legacy's dual network, its network, and the path of the file."""
    meta, inputs, outputs = golden.load("dual_moe")
    network = golden_network(meta, torch.float32)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return onnx_session(network, path), network, path, inputs, outputs


@pytest.fixture(scope="session")
def small_dual(tmp_path_factory):
    """Both histories, mixtures of three experts, one category that is aggregated in one layer."""
    config = tiny_config(n_cat_features=1, n_num_features=1, feature_aggregation="linear")
    return _exported(tiny_network(config), tmp_path_factory.mktemp("small_dual") / "model.onnx")


@pytest.fixture(scope="session")
def small_single(tmp_path_factory):
    """One history, no mixtures, no engineered features, the branch over the current order's numbers."""
    config = tiny_config("single", use_moe=False, n_engineered_num_features=0, num_heads=1, use_mlp=True)
    return _exported(tiny_network(config), tmp_path_factory.mktemp("small_single") / "model.onnx")


def _exported(network: Network, path: Path) -> Exported:
    return Exported(onnx_session(network, path), network, path)
