"""Which files are read of a path, several, or a folder, and which are left out, with the reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from tsa_model.events.errors import BadEvents

SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What engines call the folder of rows whose value is missing."""


@dataclass(frozen=True)
class EventFile:
    """One data file."""

    path: Path
    folder_values: dict[str, str | None]
    """Columns that its folders' names give: country=DE is a column country."""
    note: str = ""
    """What a report says beside its name."""


@dataclass
class Listing:
    """The files of some events."""

    files: list[EventFile] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """A path and the reason why it is not read."""


def list_files(events: str | Path | Sequence[str | Path]) -> Listing:
    """List the data files behind a path or several, those of a folder in the order of their names.

    Links are followed; hidden files and files whose names begin with _ are left out, as engines do.

    Raises:
        BadEvents: nothing is there, a link leads nowhere or in a circle, a folder is a table with a log of
            its own, its formats are mixed, or a kind of file is unknown.
    """
    paths = [events] if isinstance(events, (str, Path)) else list(events)
    if not paths:
        raise BadEvents("events are an empty list of paths; name at least one file or folder")
    listing = Listing()
    seen: dict[Path, Path] = {}
    for path in map(Path, paths):
        before = len(listing.files)
        if path.is_dir():
            for folder in (path, *list(path.resolve().parents)[:3]):
                _refuse_table_format(folder)
            _walk(path, (), listing, seen)
        else:
            _add(path, listing, seen)
        formats = {file_format(file.path) for file in listing.files[before:]}
        if len(formats) > 1:
            raise BadEvents(f"{path} mixes CSV and Parquet files; keep one format")
    if not listing.files:
        reasons = "".join(f"; {path.name}: {reason}" for path, reason in listing.left_out[:3])
        raise BadEvents(f"{', '.join(map(str, paths))} holds no files{reasons}")
    return listing


def find_files(events: str | Path | Sequence[str | Path]) -> list[Path]:
    """The paths of `list_files`."""
    return [file.path for file in list_files(events).files]


def file_format(path: Path) -> str:
    """Return "parquet" or "csv" by the file's name."""
    for suffix, name in SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return name
    raise BadEvents(f"{path}: unknown kind of file; expected {', '.join(SUFFIXES)}")


def folder_values(path: Path) -> dict[str, str | None]:
    """Columns in the names of a file's folders, name=value each; the innermost of one name counts."""
    values: dict[str, str | None] = {}
    for part in path.parts[:-1]:
        name, sign, value = part.partition("=")
        if sign and name:
            values[unquote(name)] = None if value in ("", NO_PARTITION) else unquote(value)
    return values


def _walk(folder: Path, above: tuple[Path, ...], listing: Listing, seen: dict[Path, Path]) -> None:
    real = folder.resolve()
    if real in above:
        raise BadEvents(f"{folder} is a link in a circle: it leads to {real}, which it lies in; remove it")
    _refuse_table_format(folder)
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name[0] in "._":
            reason = "hidden" if path.name[0] == "." else "its name begins with _"
            listing.left_out.append((path, reason))
        elif path.is_dir():
            _walk(path, (*above, real), listing, seen)
        else:
            _add(path, listing, seen)


def _add(path: Path, listing: Listing, seen: dict[Path, Path]) -> None:
    if not path.exists():
        if path.is_symlink():
            raise BadEvents(
                f"{path} is a link to {os.readlink(path)}, which does not exist: restore the file, or remove "
                "the link if its orders are not wanted"
            )
        raise BadEvents(f"there is no file or folder {path}")
    if not path.is_file():
        listing.left_out.append((path, "not a regular file"))
        return
    real = path.resolve()
    if real in seen:
        listing.left_out.append((path, f"the same file as {seen[real]}"))
        return
    seen[real] = path
    note = f"a link to {real}" if path.is_symlink() else ""
    listing.files.append(EventFile(path, folder_values(path), note))


def _refuse_table_format(folder: Path) -> None:
    """Refuse a folder in which a log says which files count: deleted orders would be read as well."""
    name = None
    if (folder / "_delta_log").is_dir():
        name, log = "Delta", "_delta_log"
    elif (folder / ".hoodie").is_dir():
        name, log = "Hudi", ".hoodie"
    elif any((folder / "metadata").glob("*.metadata.json")):
        name, log = "Iceberg", "metadata"
    if name is not None:
        raise BadEvents(
            f"{folder} is a {name} table: its log ({log}) says which files count, and this program does not "
            "read it, so that deleted orders would come back; export the table as plain Parquet files"
        )
