"""The built image, and a container engine to start it with."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = os.environ.get("TSA_IMAGE") or "localhost/tsa-python:dev"
SEALED = ("--network", "none", "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
"""What every container gets: no network, a root file system that cannot be written, no privileges."""


@dataclass
class Engine:
    """docker or podman, and the image."""

    command: str
    image: str
    options: tuple[str, ...]

    def run(
        self, *command: str, volume: str = "", options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own.

        Args:
            command: what to run.
            volume: name of the volume at /tmp, the only place that can be written; empty = none.
            options: further options of the engine.
        """
        places = ("--volume", f"{volume}:/tmp") if volume else ()
        return subprocess.run(
            [self.command, "run", "--rm", *self.options, *places, *options, self.image, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3600,
        )

    def call(self, *arguments: str) -> str:
        """What another command of the engine prints."""
        return subprocess.run(
            [self.command, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Skip where no engine answers; fail where it does not have the image."""
    command = os.environ.get("TSA_ENGINE")
    if not command:
        pytest.skip("neither docker nor podman answers, or none was named (make test-image)")
    info = subprocess.run([command, "info"], capture_output=True, text=True)
    if info.returncode:
        pytest.skip(f"'{command} info' fails: {info.stderr.strip()[-300:]}")
    if subprocess.run([command, "image", "inspect", IMAGE], capture_output=True).returncode:
        pytest.fail(f"{command} has no image {IMAGE}: 'make image', or name another one with IMAGE=")
    engine = Engine(command, IMAGE, SEALED)
    if "podman" in engine.call("--version"):  # it would make /tmp and /run writable, without being asked
        engine.options = (*SEALED, "--read-only-tmpfs=false")
    return engine


@pytest.fixture
def volume(engine: Engine) -> Iterator[str]:
    """An empty volume, deleted afterwards."""
    name = f"tsa-test-{uuid.uuid4().hex[:12]}"
    engine.call("volume", "create", name)
    yield name
    engine.call("volume", "rm", "--force", name)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user may write to, whatever the user of the containers."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    return folder
