"""A cluster that is a stub, and a run description that trains on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kubernetes_stub import STAGE_POD, StubCluster, serve, stage_pod


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that the stage and all nodes see."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


@pytest.fixture
def kubernetes(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubCluster]:
    stub = StubCluster()
    pod = stage_pod()
    for mount in pod["spec"]["containers"][1]["volumeMounts"]:
        if mount["name"] == "shared":
            mount["mountPath"] = str(shared)
    stub.add_pod(pod)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("KFP_POD_NAME", STAGE_POD)
    with serve(stub, tmp_path / "kubeconfig"):
        yield stub
