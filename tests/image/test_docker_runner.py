"""The whole DAG with kfp's DockerRunner: every stage in a container of the built image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.small_run import small_run

from launcher.compilation import output_types, read_documents, stage_names

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def docker_image(engine: Any) -> str:
    """Skip where no Docker engine answers: over podman's socket DockerRunner takes failures for successes."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        parts = [part["Name"] for part in client.version().get("Components", [])]
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    if "Podman Engine" in parts:
        pytest.skip("the engine is podman's, over which kfp's DockerRunner reports failures as successes")
    try:
        client.images.get(engine.image)
    except docker.errors.ImageNotFound:
        pytest.skip(f"docker has no {engine.image}: podman save {engine.image} | docker load")
    return str(engine.image)


def run_dag(image: str, folder: Path, *arguments: str) -> tuple[str, Path]:
    """What kfp printed, and the folder with the outputs of the stages."""
    for name in ("artifacts", "workspace"):  # the user of the image writes there
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "docker_dag.py", image, folder, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=3600,
    )
    (outputs,) = (folder / "artifacts").iterdir()
    return done.stdout, outputs


def test_every_stage_runs_in_its_container(docker_image: str, open_folder: Path) -> None:
    # kfp calls a stage successful whose container is gone before it is asked, so the files must tell.
    printed, outputs = run_dag(docker_image, open_folder, small_run().model_dump_json())
    documents = read_documents(open_folder / "pipeline.yaml")
    missing = [
        f"{stage}/{name}"
        for stage in stage_names(documents)
        for name in ("executor_output.json", *output_types(documents, stage))
        if not (outputs / stage / name).exists()
    ]
    assert missing == [], printed[-5000:]
    assert printed.count(f"Found image '{docker_image}'") == len(stage_names(documents)) == 8
    assert json.loads((outputs / "check-equivalence" / "verdict").read_text())["passed"] is True
    assert json.loads((outputs / "compare-champion" / "comparison").read_text())["passed"] is True
    scores = pd.read_parquet(outputs / "generate-scores" / "scores" / "scores.parquet")
    assert len(scores) == scores["order_id"].nunique() > 500


def test_nothing_runs_after_a_stage_that_failed(docker_image: str, open_folder: Path) -> None:
    config = small_run().model_dump_json()
    printed, outputs = run_dag(docker_image, open_folder, config, "/none/orders.parquet")
    assert "/none/orders.parquet" in printed
    assert [path.name for path in outputs.iterdir()] == ["validate-events"]
    assert not list((outputs / "validate-events").glob("validated/*"))
