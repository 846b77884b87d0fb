"""The files of a store: plain .npy columns and matrices, and a manifest that vouches for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tsa_model.files import sha256

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
FORMAT = 1
SMALL_BYTES = 4096


def write_npy(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: Any) -> None:
    """Write an array of `shape` block by block, so that it never lies in memory whole."""
    dtype = np.dtype(dtype)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    n_rows = 0
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_2_0(stream, header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype=dtype).data)
            n_rows += len(block)
    assert n_rows == shape[0], f"{path.name}: {n_rows} rows written, {shape[0]} announced"


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array that lies in memory."""
    write_npy(path, [array], array.shape, array.dtype)


def read_npy(path: Path) -> np.ndarray:
    """Memory-map an array, read-only; a small one is read, for an empty file cannot be mapped."""
    mode: Literal["r"] | None = "r" if path.stat().st_size > SMALL_BYTES else None
    array = np.load(path, mmap_mode=mode, allow_pickle=False)
    return array.view(np.ndarray)  # np.memmap's subclass bookkeeping costs time in every indexing


def write_manifest(directory: Path, content: dict[str, Any]) -> None:
    """Write the manifest: `content` plus size and digest of every file in `directory`, and its own digest."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(directory.iterdir())
    }
    text = json.dumps({"format": FORMAT, **content, "files": files}, indent=2, allow_nan=False) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")
    (directory / MANIFEST_DIGEST).write_text(_digest_line(text.encode()), encoding="utf-8")


def _digest_line(manifest: bytes) -> str:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n"


def read_manifest(directory: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest and its SHA-256, after checking every file it lists.

    Raises:
        ValueError: a file is missing, has another size or other bytes; the message names it.
    """
    path, digest_path = directory / MANIFEST, directory / MANIFEST_DIGEST
    for file in (path, digest_path):
        if not file.is_file():
            raise ValueError(f"{directory} is not a whole sequence store: {file.name} is missing")
    text = path.read_bytes()
    if digest_path.read_bytes() != _digest_line(text).encode():
        raise ValueError(f"{path} is damaged: {MANIFEST_DIGEST} has another digest; build the store again")
    manifest = json.loads(text)
    if manifest["format"] != FORMAT:
        raise ValueError(f"{path}: format {manifest['format']!r}, this version reads {FORMAT}")
    for name, entry in manifest["files"].items():
        _check_file(directory / name, entry["bytes"], entry["sha256"])
    return manifest, hashlib.sha256(text).hexdigest()


def _check_file(file: Path, size: int, digest: str) -> None:
    if not file.is_file():
        raise ValueError(f"{file} is missing; build the store again")
    if file.stat().st_size != size:
        raise ValueError(f"{file} has {file.stat().st_size} bytes instead of {size}; build the store again")
    if sha256(file) != digest:
        raise ValueError(f"{file} is damaged: its SHA-256 is not the manifest's; build the store again")
