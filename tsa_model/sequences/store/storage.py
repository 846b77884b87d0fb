"""The files of a store: plain .npy columns and matrices, and a manifest that vouches for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt

from tsa_model.events.files import find_files
from tsa_model.files import sha256, write_json
from tsa_model.sealed import Digest, ListedFile, check_files, digest_of, list_files, read_document
from tsa_model.settings import Settings
from tsa_model.settings.dataset import DatasetDescription

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
REMEDY = "build the store again"
SMALL_BYTES = 4096


class StoreManifest(Settings):
    """What a store holds: the content of `manifest.json`."""

    format: Literal[1] = 1
    description: DatasetDescription
    """What it was prepared by, without the roles that only reports use."""
    keys: tuple[str, ...]
    """The columns whose histories it holds: the customer's, and the card's where there is one."""
    orders: NonNegativeInt
    labelled_orders: NonNegativeInt
    """Orders whose label is known."""
    quarantined: NonNegativeInt
    """Rows that could not be used and lie in `quarantine.csv`."""
    targets: dict[str, NonNegativeInt]
    """Period → its targets."""
    prior: float | None
    """Share of frauds among the training targets before sampling; None = there are none."""
    sampled_prior: float | None
    """The same after sampling."""
    events_sha256: Digest | None = None
    """Of the validated events it was built from (`events_digest`); null where it was built outside a run."""
    files: dict[str, ListedFile] = {}
    """Every other file of the store but `manifest.sha256`."""


def events_digest(path: str | Path) -> str:
    """Hex SHA-256 of the files of some events: of a single one its own, of several that of all of theirs."""
    files = find_files(path)
    if len(files) == 1:
        return sha256(files[0])
    return digest_of([[file.name, sha256(file)] for file in files])


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


def write_manifest(directory: Path, manifest: StoreManifest) -> None:
    """Write the manifest with size and digest of every file in `directory`, and its own digest."""
    content = manifest.changed(files=list_files(directory)).model_dump(mode="json")
    write_json(directory / MANIFEST, {**content, "description": manifest.description.as_prepared()})
    digest_line = _digest_line((directory / MANIFEST).read_bytes())
    (directory / MANIFEST_DIGEST).write_text(digest_line, encoding="utf-8")


def _digest_line(manifest: bytes) -> str:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n"


def read_manifest(directory: Path) -> tuple[StoreManifest, str]:
    """Return the manifest and its SHA-256, after checking every file of the store.

    Raises:
        ValueError: a file is missing, damaged or not listed; the message names it.
    """
    path, digest_path = directory / MANIFEST, directory / MANIFEST_DIGEST
    for file in (path, digest_path):
        if not file.is_file():
            raise ValueError(f"{directory} is not a whole sequence store: {file.name} is missing")
    text = path.read_bytes()
    if digest_path.read_bytes() != _digest_line(text).encode():
        raise ValueError(f"{path} or {digest_path} is damaged: the two do not belong together; {REMEDY}")
    manifest = read_document(path, StoreManifest, "the manifest of a sequence store")
    check_files(directory, manifest.files, besides=(MANIFEST, MANIFEST_DIGEST), remedy=REMEDY)
    return manifest, hashlib.sha256(text).hexdigest()
