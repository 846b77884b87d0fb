"""The name of a pipeline version: which code, which image, which content."""

from __future__ import annotations

import hashlib
import re
import subprocess
from importlib import metadata
from pathlib import Path

from launcher.compilation import Documents, as_text

ROOT = Path(__file__).resolve().parents[2]
DIGITS = 12
"""Length of an abbreviated git revision or image digest."""


def version_name(documents: Documents, root: Path = ROOT) -> str:
    """`git-<revision>-image-<digest>-<content>`; lower case letters, digits and hyphens only.

    The same content has the same name, whatever else is on the server: it is uploaded once.

    Args:
        documents: the compiled pipeline.
        root: where the code lies.
    """
    images = {
        executor["container"]["image"] for executor in documents[0]["deploymentSpec"]["executors"].values()
    }
    image = "-".join(sorted(_image(reference) for reference in images))
    content = hashlib.sha256(as_text(documents).encode()).hexdigest()[:DIGITS]
    return re.sub(r"[^a-z0-9]+", "-", f"{_code(root)}-image-{image}-{content}".lower()).strip("-")


def _code(root: Path) -> str:
    """`git-<revision>`, `-dirty` when files differ from it; outside of git the package's version."""
    try:
        revision = _git(root, "rev-parse", f"--short={DIGITS}", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return f"package-{metadata.version('tsa-pipeline')}"
    return f"git-{revision}" + ("-dirty" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _image(reference: str) -> str:
    """The start of the digest, or the tag."""
    name, _, digest = reference.partition("@")
    if digest:
        return digest.rpartition(":")[2][:DIGITS]
    return name.rpartition("/")[2].partition(":")[2] or "latest"
