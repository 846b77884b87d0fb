"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsa_model.scratch import clear_dead, delete, temporary_name

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There is no room for what is written."""


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` on success, delete it on error.

    Args:
        target: the file to create or replace; its folder is created.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_dead(target)
    temporary = temporary_name(target)
    with _naming(target):
        try:
            yield temporary
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; rename it to `target` on success, delete it on error.

    A folder that already lies at `target` is replaced; at no moment does half of one lie there.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_dead(target)
    temporary, former = temporary_name(target), temporary_name(target, "old")
    temporary.mkdir()
    with _naming(target):
        try:
            yield temporary
            if target.exists():
                os.replace(target, former)
            try:
                os.replace(temporary, target)
            except BaseException:
                if former.exists():
                    os.replace(former, target)
                raise
            delete(former)
        finally:
            delete(temporary)


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Say what was being written where the system's error does not: a full disk names no file."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def write_json(target: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
