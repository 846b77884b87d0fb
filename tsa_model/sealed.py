"""Sealed folders and documents: one way to list files with their digests, and to check them when read.

A manifest lists every other file of its folder; a document states the digest of its own content, and carries
a signature where there is a key. Whoever opens either one gets a typed value, or one sentence that names the
file and what is wrong with it. Two documents that are used together must state the same digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import Field, NonNegativeInt

from tsa_model.documents import MAX_BYTES, Document, read_document, read_json, shorten, typed
from tsa_model.files import sha256, write_json
from tsa_model.settings import Settings
from tsa_model.signing import NOT_SIGNED, check_signature, sign

__all__ = [
    "MAX_BYTES",
    "Digest",
    "ListedFile",
    "Sealed",
    "Signed",
    "check_files",
    "check_together",
    "digest_of",
    "list_files",
    "read_document",
    "read_json",
    "read_sealed",
    "sealed",
    "typed",
    "with_seal",
    "write_sealed",
]

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Hex SHA-256."""
SHOWN_DIGITS = 12
"""Of a digest in a message."""
SEAL = ("signature", "sha256")
"""Entries of a document that are not part of its content."""


class Sealed(Settings):
    """A document that states the digest of its own content."""

    sha256: Digest | None = None
    """Of everything else in the document but its signature; null until it is sealed."""


class Signed(Sealed):
    """A sealed document that carries a signature where there is a key."""

    signature: str = NOT_SIGNED
    """Over `sha256`; see `tsa_model/signing.py`."""


SealedDocument = TypeVar("SealedDocument", bound=Sealed)


class ListedFile(Settings):
    """What a manifest says of a file."""

    bytes: NonNegativeInt
    sha256: Digest


def list_files(folder: Path, besides: Collection[str] = ()) -> dict[str, ListedFile]:
    """Size and digest of every file in a folder and below it.

    Args:
        folder: the folder.
        besides: names that are left out, such as the manifest's own.

    Returns:
        Name relative to the folder, with "/" between its parts → what a manifest says of the file.
    """
    return {
        name: ListedFile(bytes=path.stat().st_size, sha256=sha256(path))
        for name, path in _files(folder).items()
        if name not in besides
    }


def check_files(
    folder: Path,
    listed: Mapping[str, ListedFile | str],
    besides: Collection[str] | None = None,
    remedy: str = "the folder is not whole",
) -> None:
    """Compare the files of a folder with what its manifest lists.

    Args:
        folder: the folder.
        listed: name → size and digest, or the digest alone.
        besides: files that may lie there without being listed; None = unlisted files are not looked for.
            Hidden files (".nfs0001", ".DS_Store") are a file system's own and never count.
        remedy: what to do, or what the damage means; the end of every message.

    Raises:
        ValueError: a file is missing, has another size or other bytes, or is not listed.
    """
    for name, entry in listed.items():
        size, digest = (None, entry) if isinstance(entry, str) else (entry.bytes, entry.sha256)
        _check_file(folder, name, size, digest, remedy)
    if besides is None:
        return
    for name, path in _files(folder).items():
        if name not in listed and name not in besides and not _is_hidden(name):
            raise ValueError(f"{path} is not listed in the manifest of {folder}: remove it; {remedy}")


def _files(folder: Path) -> dict[str, Path]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _check_file(folder: Path, name: str, size: int | None, digest: str, remedy: str) -> None:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or str(place) != name or "\0" in name:
        raise ValueError(f"the manifest of {folder} lists {name!r}, which is no file in it; {remedy}")
    file = folder / name
    if not file.is_file():
        raise ValueError(f"{file} is missing; {remedy}")
    if size is not None and file.stat().st_size != size:
        raise ValueError(f"{file} has {file.stat().st_size} bytes instead of {size}; {remedy}")
    found = sha256(file)
    if found != digest:
        raise ValueError(
            f"{file} was changed or is damaged: SHA-256 {found} instead of {digest}, which the manifest of "
            f"{folder} lists; {remedy}"
        )


def digest_of(content: Any) -> str:
    """Hex SHA-256 of JSON content, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def with_seal(content: dict[str, Any]) -> dict[str, Any]:
    """A document's content and, as its last entries, its signature (of a signed kind) and its digest."""
    body = _body(content)
    digest = digest_of(body)
    signature = {"signature": sign(digest)} if "signature" in content else {}
    return {**body, **signature, "sha256": digest}


def sealed(document: SealedDocument) -> SealedDocument:
    """The same document with the digest and the signature of what it holds now."""
    seal = with_seal(document.model_dump(mode="json"))
    return document.changed(**{name: seal[name] for name in SEAL if name in seal})


def write_sealed(path: str | Path, document: Sealed) -> None:
    """Write a document with its seal; `read_sealed` reads it."""
    write_json(path, with_seal(document.model_dump(mode="json")))


def read_sealed(
    path: Path, model: type[Document], what: str, missing: str = "", besides: Collection[str] = ()
) -> Document:
    """Read a document that states its own digest, as `with_seal` made it; see `read_document`.

    Args:
        path: the file.
        model: what it must hold.
        what: the same in words, with its article.
        missing: what to do when there is no file.
        besides: entries for readers without this code, which the model works out itself.

    Raises:
        ValueError: as `read_document`, or the content is not the one the digest was made of, or it is of a
            signed kind, there is a key, and the signature is not of this key.
    """
    content = read_json(path, what, missing)
    body, recorded = _body(content), content.get("sha256")
    stated = {name: content[name] for name in SEAL if name in content and name in model.model_fields}
    kept = {name: value for name, value in body.items() if name not in besides}
    document = typed({**kept, **stated}, model, path, what)
    if recorded is None:
        raise ValueError(
            f"{path} is not {what}: sha256: missing; a former version wrote it, or it was edited"
        )
    digest = digest_of(body)
    if digest != recorded:
        raise ValueError(f"{path} was edited: its content has not the SHA-256 {shorten(recorded)} it states")
    if issubclass(model, Signed):
        check_signature(path, digest, content.get("signature"))
    return document


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in SEAL}


def check_together(
    what: str, first: tuple[object, str | None], second: tuple[object, str | None], remedy: str
) -> None:
    """Refuse two things that should state the same digest and do not.

    Args:
        what: what the digest is of, as the subject of a sentence: "the store is".
        first: the thing (a path, best) and the digest in it; None = it states none.
        second: the other one.
        remedy: what to do.

    Raises:
        ValueError: they differ, or the first states none.
    """
    (one, found), (other, expected) = first, second
    if found is None or found != expected:
        raise ValueError(
            f"{one} and {other} do not belong together: {what} {_digits(found)} in the first and"
            f" {_digits(expected)} in the second; {remedy}"
        )


def _digits(digest: str | None) -> str:
    return "not stated" if not digest else digest[:SHOWN_DIGITS]
