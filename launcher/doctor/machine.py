"""This machine: Python, packages, cores, memory, disk, container engine, accelerators."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from launcher.doctor.finding import Finding, fine, looked, missing, note

PROJECT = "tsa-pipeline"
OLDEST_PYTHON = (3, 11)
LEAST_MEMORY, LEAST_DISK = 4 * 2**30, 3 * 2**30
"""Bytes: the demo's processes together take 1.3 GB, its artifacts and scratch a few hundred MB."""
LEAST_SHARED = 2**28
ENGINES = ("docker", "podman")
ENGINE_TIMEOUT_S = 10


def check_machine(runs: Path) -> Iterator[Finding]:
    """What a run on this machine needs.

    Args:
        runs: folder for the results of runs.
    """
    yield from looked("Python", _python)
    yield from looked("packages", _packages)
    yield from looked("cores", _cores)
    yield from looked("memory", _memory)
    yield from looked("folder of runs", lambda: _disk("folder of runs", runs))
    scratch = Path(tempfile.gettempdir())
    yield from looked("scratch folder", lambda: _disk("scratch folder", scratch))
    yield from looked("shared memory", _shared_memory)
    yield from looked("container engine", _engine)
    yield from looked("accelerator", _accelerator)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return missing("Python", version, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    return fine("Python", version)


def _packages() -> Iterator[Finding]:
    try:
        wanted = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    except metadata.PackageNotFoundError:
        yield missing("packages", f"{PROJECT} is not installed here", "make setup, and use its .venv")
        return
    wrong = [problem for one in wanted if (problem := _problem(one))]
    if wrong:
        remedy = "make setup, or pip install -c constraints.txt ."
        yield missing("packages", "; ".join(wrong), remedy)
    else:
        yield fine("packages", f"the {len(wanted)} that {PROJECT} {metadata.version(PROJECT)} names")


def _problem(wanted: Requirement) -> str:
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return ""
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is not installed"
    if wanted.specifier.contains(version.partition("+")[0], prereleases=True):
        return ""
    return f"{wanted.name} is {version}, wanted is {wanted.specifier}"


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _limit("cpu.max")
    words = f"{cores}" + (f", of which a container's limit leaves {share:.1f}" if share else "")
    if min(cores, share or cores) < 2:
        return note("cores", words, "the demo's times are for two cores; one takes nearly twice as long")
    return fine("cores", words)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    limit = _limit("memory.max")
    left = min(memory.available, limit or memory.available)
    words = f"{left / 2**30:.1f} GiB free"
    if left < LEAST_MEMORY:
        return missing("memory", words, f"the demo needs {LEAST_MEMORY / 2**30:.0f} GiB free")
    return fine("memory", words)


def _limit(name: str) -> float:
    """A limit of this container's control group; 0 = none."""
    try:
        words = (Path("/sys/fs/cgroup") / name).read_text(encoding="utf-8").split()
        return float(words[0]) / (float(words[1]) if len(words) > 1 else 1.0)
    except (OSError, ValueError, IndexError):
        return 0.0


def _disk(what: str, folder: Path) -> Finding:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        return missing(what, f"{place} is a file", "name another folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return missing(what, f"{place} cannot be written to: {error.strerror}", "name another folder")
    free = shutil.disk_usage(place).free
    words = f"{place}: {free / 2**30:.1f} GiB free"
    if free < LEAST_DISK:
        return missing(what, words, f"a run needs {LEAST_DISK / 2**30:.0f} GiB")
    return fine(what, words)


def _shared_memory() -> Finding:
    place = Path("/dev/shm")
    if not place.is_dir():
        return fine("shared memory", "this system has no /dev/shm")
    size = shutil.disk_usage(place).total
    words = f"{size / 2**20:,.0f} MiB"
    if size < LEAST_SHARED:
        return note(
            "shared memory", words, "training with several loading processes needs 256 MiB: --shm-size"
        )
    return fine("shared memory", words)


def _engine() -> Finding:
    for engine in ENGINES:
        if (program := shutil.which(engine)) is None:
            continue
        command = [program, "version"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return note("container engine", f"{engine} does not answer", "start it; only images need it")
        if done.returncode == 0:
            return fine("container engine", engine)
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        return note("container engine", f"{engine}: {' '.join(said)}", "start it; only images need it")
    return note("container engine", "neither docker nor podman", "only `make image` and its tests need one")


def _accelerator() -> Finding:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return fine("accelerator", ", ".join(torch.cuda.get_device_name(number) for number in range(count)))
    if shutil.which("nvidia-smi"):
        return note(
            "accelerator",
            f"this machine has NVIDIA's driver, but torch {torch.__version__} sees no card",
            "install a CUDA build of torch, or let the container see the card",
        )
    return fine("accelerator", "none; training runs on the processor")
