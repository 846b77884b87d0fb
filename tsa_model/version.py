"""Which program this is: its version, and a digest of the code that a verdict speaks of."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tsa_model.files import sha256
from tsa_model.sealed import Digest, digest_of
from tsa_model.settings import Settings

JUDGED = ("network", "losses", "legacy", "equivalence", "settings/model.py", "batch.py")
"""The computations, and the gate that compares them: with other code a verdict is another verdict."""


class Program(Settings):
    """The program that made a document."""

    version: str
    code_sha256: Digest
    """Of the source files of networks, losses, recordings and gate."""


@functools.cache
def this_program() -> Program:
    """The program that runs now."""
    root = Path(__file__).parent
    places = [root / name for name in JUDGED]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    digests = {file.relative_to(root).as_posix(): sha256(file) for file in files}
    return Program(version=project_version(), code_sha256=digest_of(digests))


def project_version() -> str:
    """Of the installed package."""
    try:
        return version("tsa-pipeline")
    except PackageNotFoundError:
        return "0+unknown"
