"""Where a command may write: nothing that this program did not make is ever replaced.

A folder may be replaced when it is empty, or when one of our manifests lies in it and names every file there.
A file may be replaced when it is empty or begins as ours do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ADVICE = "name a new or an empty one"
PAGE_MARK = b'<meta name="generator" content="TSA Pipeline">'
LARGEST_MANIFEST = 64 << 20
"""Bytes; a larger one is not one of ours."""


class OutputError(ValueError):
    """An output would destroy something, or cannot be written."""


def check_output_folder(output: str | Path, inputs: Mapping[str, str | Path | None], option: str) -> None:
    """Refuse an output folder that must not be replaced, before any work is done.

    Args:
        output: the folder a command will write.
        inputs: what the command reads, by the names a person knows them by; None = not given.
        option: the output's own name, for the message ("--output").

    Raises:
        OutputError: it is a link, a file, the current folder or one above it, a folder with other content,
            or an input lies in it or it in an input.
    """
    path = Path(output)
    named = f"{option} {str(output)!r}"
    _refuse_links_and_ancestors(path, named)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{named} is a file, and a folder is needed: {ADVICE}")
    _refuse_inputs(path, inputs, named)
    check_replaceable(path, named)


def check_output_file(
    output: str | Path, inputs: Mapping[str, str | Path | None], option: str, is_ours: Callable[[bytes], bool]
) -> None:
    """Refuse an output file that must not be replaced, before any work is done.

    Args:
        output: the file a command will write.
        inputs: what the command reads, as in `check_output_folder`.
        option: the output's own name.
        is_ours: whether this program wrote these bytes; `json_with` and `begins_with` make such functions.

    Raises:
        OutputError: it is a link or a folder, one of the inputs, or holds something else.
    """
    path = Path(output)
    named = f"{option} {str(output)!r}"
    if path.is_symlink():
        raise OutputError(f"{named} is a link, which would be replaced: {ADVICE}")
    if path.is_dir() or not path.name:
        raise OutputError(f"{named} is a folder, and a file is needed: {ADVICE}")
    _refuse_inputs(path, inputs, named)
    if path.exists():
        with open(path, "rb") as stream:
            content = stream.read(LARGEST_MANIFEST)
        if content.strip() and not is_ours(content):
            raise OutputError(f"{named} exists and was not written by this program: {ADVICE}")


def check_replaceable(folder: Path, named: str) -> None:
    """Refuse a folder with content that this program did not write.

    Raises:
        OutputError: the message names a file that would be lost.
    """
    if folder.is_symlink():
        raise OutputError(f"{named} is a link, which would be replaced: {ADVICE}")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{named} is a file, and a folder is needed: {ADVICE}")
    ours = _listed(folder)
    for path in sorted(folder.rglob("*")):
        is_folder = path.is_dir() and not path.is_symlink()
        name = path.relative_to(folder).as_posix()
        if not is_folder and name not in ours:
            raise OutputError(f"{named} holds {name!r}, which this program did not write: {ADVICE}")


def json_with(*keys: str) -> Callable[[bytes], bool]:
    """Whether bytes are a JSON object that has all these keys."""

    def is_ours(content: bytes) -> bool:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.keys() >= set(keys)

    return is_ours


def begins_with(text: str) -> Callable[[bytes], bool]:
    """Whether bytes begin with a text."""
    return lambda content: content.startswith(text.encode())


def is_page(content: bytes) -> bool:
    """Whether bytes are a page that this program wrote (`tsa_model/pages/base.html.j2`)."""
    return PAGE_MARK in content


def _refuse_links_and_ancestors(path: Path, named: str) -> None:
    if path.is_symlink():
        raise OutputError(f"{named} is a link, which would be replaced: {ADVICE}")
    here, there = Path.cwd().resolve(), path.resolve()
    if there == here or there in here.parents:
        raise OutputError(f"{named} is the current folder or one above it, which would be replaced: {ADVICE}")


def _refuse_inputs(path: Path, inputs: Mapping[str, str | Path | None], named: str) -> None:
    there = path.resolve()
    for name, given in inputs.items():
        if given is None or "://" in str(given):
            continue
        read = Path(given).resolve()
        if read == there:
            raise OutputError(f"{named} is what is read as {name}, and would be replaced: {ADVICE}")
        if there in read.parents:
            raise OutputError(f"{named} holds what is read as {name} ({str(given)!r}): {ADVICE}")
        if read in there.parents and read.is_dir():
            raise OutputError(f"{named} lies in what is read as {name} ({str(given)!r}): {ADVICE} elsewhere")


def _listed(folder: Path) -> set[str]:
    """The files that our manifests in a folder name, themselves included; empty where there is none."""
    found: set[str] = set()
    for name, files_of in MANIFESTS.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_MANIFEST:
            continue
        try:
            content = json.loads(path.read_bytes())
            found |= {name, *map(str, files_of(content))}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # not one of ours: what it names is not, either
    return found


def _sealed(content: Any) -> Iterable[str]:
    """Store and score files: every file with its size and digest."""
    if not all(set(entry) >= {"bytes", "sha256"} for entry in content["files"].values()):
        raise ValueError("not a manifest of files")
    return [*content["files"], "manifest.sha256"]


def _model(content: Any) -> Iterable[str]:
    if not content["weights_sha256"]:
        raise ValueError("not a model folder")
    return ["model.safetensors"]


def _onnx(content: Any) -> Iterable[str]:
    if not content["onnx_sha256"]:
        raise ValueError("not the folder of an exported model")
    return [content["model_file"], *content.get("files", {})]


def _baseline(content: Any) -> Iterable[str]:
    return [entry["file"] for entry in content["files"]]


MANIFESTS: dict[str, Callable[[Any], Iterable[str]]] = {
    "manifest.json": _sealed,
    "model.json": _model,
    "onnx.json": _onnx,
    "baseline.json": _baseline,
}
"""Manifest → the files it names, relative to its folder."""
