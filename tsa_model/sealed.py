"""Sealed folders and documents: one way to list files with their digests, and to check them when read.

A manifest lists every other file of its folder; a document states the digest of its own content. Whoever
opens either one gets a typed value, or one sentence that names the file and what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import Field, NonNegativeInt, ValidationError

from tsa_model.files import sha256
from tsa_model.settings import Settings
from tsa_model.settings.base import in_words

MAX_BYTES = 2**28
"""A larger document is refused before it is read; the largest real one is a vocabulary."""
MAX_DIGITS = 20
"""Of a whole number: 64 bits."""
MAX_PROBLEMS = 3
MAX_WORDS = 300
"""Characters of one problem that are shown."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Hex SHA-256."""
Document = TypeVar("Document", bound=Settings)


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
    """A document's content and, as its last entry `sha256`, the digest of it."""
    return {**content, "sha256": digest_of(content)}


def read_sealed(path: Path, model: type[Document], what: str, missing: str) -> Document:
    """Read a document that states its own digest, as `with_seal` made it; see `read_document`.

    Raises:
        ValueError: as `read_document`, or the content is not the one the digest was made of.
    """
    content = read_json(path, what, missing)
    if "sha256" not in content:
        raise ValueError(f"{path} is not {what}: sha256: missing")
    recorded = content.pop("sha256")
    if digest_of(content) != recorded:
        raise ValueError(f"{path} was edited: its content has not the SHA-256 {_short(recorded)} it states")
    return typed(content, model, path, what)


def read_document(path: Path, model: type[Document], what: str, missing: str = "") -> Document:
    """Read a JSON document as settings; types are not converted ("yes" is no true, "3" no number).

    Args:
        path: the file.
        model: what it must hold.
        what: the same in words, with its article: "a verdict".
        missing: what to do when there is no file.

    Raises:
        ValueError: it is missing, too large, no JSON, or holds something else; one sentence says what.
    """
    return typed(read_json(path, what, missing), model, path, what)


def read_json(path: Path, what: str, missing: str = "") -> dict[str, Any]:
    """Read a JSON object, in which no key stands twice and every number is one; see `read_document`."""
    if not path.is_file():
        raise ValueError(f"{path} is missing" + (f": {missing}" if missing else ""))
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} is not {what}: it has {size:,} bytes, more than {MAX_BYTES:,}")
    try:
        content = json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=_once,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_refuse,
        )
    except RecursionError:
        raise ValueError(f"{path} is not {what}: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is not {what}: no valid JSON ({_short(error)})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not {what}: it holds a {type(content).__name__}, not an object")
    return content


def typed(content: dict[str, Any], model: type[Document], path: Path, what: str) -> Document:
    """The content of a document as settings; see `read_document`."""
    version = model.model_fields.get("format")
    if version is not None and content.get("format", version.default) != version.default:
        found = _short(repr(content["format"]))
        raise ValueError(f"{path} has format {found}, this version reads {version.default}")
    try:
        # As text, because in Pydantic's strict mode only JSON may hold a tuple as a list or a time as text.
        text = json.dumps(content, allow_nan=False, ensure_ascii=False).encode("utf-8")
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [_short(line) for line in in_words(error, model).splitlines()]
    except (UnicodeEncodeError, OverflowError) as error:  # half a character; a time before the calendar
        problems = [_short(error)]
    shown = "; ".join(problems[:MAX_PROBLEMS])
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    raise ValueError(f"{path} is not {what}: {shown}{more}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_short(text)} is too large")
    return value


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_DIGITS:
        raise ValueError(f"the number {text[:MAX_DIGITS]}... has {len(text)} digits")
    return int(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


def _short(what: object) -> str:
    text = str(what)
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}..."
