"""Names of pipeline versions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from launcher.kubeflow.versions import version_name


def pipeline(*images: str) -> list[dict[str, object]]:
    executors = {str(number): {"container": {"image": image}} for number, image in enumerate(images)}
    return [{"deploymentSpec": {"executors": executors}}]


@pytest.mark.parametrize(
    ("images", "end"),
    [
        (("registry:5000/a/tsa-python@sha256:" + "ab" * 32,), "abababababab"),
        (("registry:5000/a/tsa-python:1.2_Beta",), "1-2-beta"),
        (("registry:5000/a/tsa-python",), "latest"),
        (("localhost/tsa-python:dev", "localhost/tsa-python:gpu", "localhost/tsa-python:dev"), "dev-gpu"),
    ],
)
def test_the_image_is_in_the_name(tmp_path: Path, images: tuple[str, ...], end: str) -> None:
    assert re.fullmatch(
        rf"package-\d+-\d+-\d+-image-{end}-[0-9a-f]{{12}}", version_name(pipeline(*images), tmp_path)
    )


def test_the_revision_is_in_the_name_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (tmp_path / "code").write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    revision = git("rev-parse", "HEAD")[:12]
    (tmp_path / "new file").write_text("is no change")
    assert version_name(pipeline("python:1"), tmp_path).startswith(f"git-{revision}-image-1-")
    (tmp_path / "code").write_text("two")
    assert version_name(pipeline("python:1"), tmp_path).startswith(f"git-{revision}-dirty-image-1-")


def test_the_content_is_in_the_name(tmp_path: Path) -> None:
    one, same = pipeline("python:1"), pipeline("python:1")
    other = pipeline("python:1")
    other[0]["deploymentSpec"]["executors"]["0"]["container"]["env"] = []  # type: ignore[index]
    assert version_name(one, tmp_path) == version_name(same, tmp_path) != version_name(other, tmp_path)
