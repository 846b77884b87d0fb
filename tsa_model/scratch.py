"""Temporary files and folders that say whose they are, so that what a killed process left can be cleared.

A temporary name holds the machine, its boot, the process and when that started:

    .scores.tsa-<machine>-<boot>-<process>-<start>-<random>.tmp

What such a name stands for belongs to nobody once its process is gone; those of other machines stay.
A name that ends in `.old` holds the former content of its target while its successor takes the place.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal

_NAME = re.compile(r"^\..*\.tsa-([0-9a-f]{8})-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}\.(tmp|old)$", re.DOTALL)
_LONGEST = 120
"""Bytes of the target's own name that are kept: a file name may have 255."""
_START_FIELD = 19
"""Place of a process's start time behind its name in /proc/<pid>/stat (proc(5), field 22)."""


def temporary_name(target: Path, ending: Literal["tmp", "old"] = "tmp") -> Path:
    """A name beside `target` that nobody else uses."""
    machine, boot = _here()
    process = os.getpid()
    tag = f"tsa-{machine}-{boot}-{process}-{_started(process)}-{uuid.uuid4().hex[:8]}"
    return target.with_name(f"{_stem(target)}.{tag}.{ending}")


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside `target` for work that leads to it; it is gone afterwards.

    What dead processes left there for the same target is cleared first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_dead(target)
    folder = temporary_name(target)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_dead(target: Path) -> list[Path]:
    """Delete what dead processes of this machine left beside `target` on their way to it; returns what.

    A former content whose successor never took the place is put back instead.
    """
    cleared = []
    with suppress(OSError):
        for path in sorted(target.parent.iterdir()):
            if not path.name.startswith(f"{_stem(target)}.tsa-") or not is_dead(path):
                continue
            if path.suffix == ".old" and not target.exists():
                os.replace(path, target)
            else:
                delete(path)
                cleared.append(path)
    return cleared


def is_dead(path: Path) -> bool:
    """Whether `path` has a temporary name whose process ran on this machine and runs no more."""
    match = _NAME.match(path.name)
    if match is None:
        return False
    machine, boot = _here()
    if match[1] != machine:
        return False
    return match[2] != boot or _started(int(match[3])) != int(match[4])


def delete(path: Path) -> None:
    """Delete a file, a link or a folder; what cannot be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _stem(target: Path) -> str:
    name = target.name
    if len(name.encode()) > _LONGEST:
        name = name.encode()[:_LONGEST].decode(errors="ignore") + _digest(name)
    return f".{name}"


@cache
def _here() -> tuple[str, str]:
    """Digests of this machine (with its process namespace) and of its boot."""
    machine = _text("/etc/machine-id") + socket.gethostname()
    with suppress(OSError):
        machine += os.readlink("/proc/self/ns/pid")
    return _digest(machine), _digest(_text("/proc/sys/kernel/random/boot_id"))


def _started(process: int) -> int:
    """Clock ticks from boot to the process's start; 0 where the system does not tell, -1 when it is gone."""
    stat = _text(f"/proc/{process}/stat").rpartition(")")[2].split()
    if stat:
        # What has ended but was not asked for yet by the process that started it writes no more.
        return -1 if stat[0] in ("Z", "X") else int(stat[_START_FIELD])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return -1
    except OSError:
        pass
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
