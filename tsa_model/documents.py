"""JSON documents as typed values, or one sentence that names the file and what is wrong with it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tsa_model.settings import Settings
from tsa_model.settings.base import in_words
from tsa_model.strict_json import no_number, once

Document = TypeVar("Document", bound=Settings)
MAX_BYTES = 2**28
"""A larger document is refused before it is read; the largest real one is a vocabulary."""
MAX_DIGITS = 20
"""Of a whole number: 64 bits."""
MAX_PROBLEMS = 3
MAX_WORDS = 300
"""Characters of one problem that are shown."""


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
            object_pairs_hook=once,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=no_number,
        )
    except RecursionError:
        raise ValueError(f"{path} is not {what}: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is not {what}: no valid JSON ({shorten(error)})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not {what}: it holds a {type(content).__name__}, not an object")
    return content


def typed(content: dict[str, Any], model: type[Document], path: Path, what: str) -> Document:
    """The content of a document as settings; see `read_document`."""
    version = model.model_fields.get("format")
    if version is not None and content.get("format", version.default) != version.default:
        found = shorten(repr(content["format"]))
        raise ValueError(f"{path} has format {found}, this version reads {version.default}")
    try:
        # As text, because in Pydantic's strict mode only JSON may hold a tuple as a list or a time as text.
        text = json.dumps(content, allow_nan=False, ensure_ascii=False).encode("utf-8")
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [shorten(line) for line in in_words(error, model).splitlines()]
    except (UnicodeEncodeError, OverflowError) as error:  # half a character; a time before the calendar
        problems = [shorten(error)]
    shown = "; ".join(problems[:MAX_PROBLEMS])
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    raise ValueError(f"{path} is not {what}: {shown}{more}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shorten(text)} is too large")
    return value


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_DIGITS:
        raise ValueError(f"the number {text[:MAX_DIGITS]}... has {len(text)} digits")
    return int(text)


def shorten(what: object) -> str:
    """A value as text that fits into a message."""
    text = str(what)
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}..."
