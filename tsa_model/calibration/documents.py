"""The JSON document of a calibrator: read with errors that name the file, the setting and its value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Document = Mapping[str, Any]
Read = TypeVar("Read")


def read_as(of_document: Callable[[Document], Read], path: str | Path) -> Read:
    """What a file's document describes; errors of `of_document` get the file's name in front.

    Raises:
        ValueError: the file holds no such document.
    """
    document = read_document(path)
    try:
        return of_document(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_document(path: str | Path) -> Document:
    """The JSON object in a file.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); take the file of the same run again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}, not the object of a calibrator")
    return content


def number(document: Document, name: str) -> float:
    """A finite number.

    Raises:
        ValueError: it is missing or something else.
    """
    value = _present(document, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r:.80}, not a finite number")
    return float(value)


def numbers(document: Document, name: str) -> NDArray[np.float64]:
    """A list of finite numbers [n], at least one.

    Raises:
        ValueError: it is missing or something else.
    """
    values = _present(document, name)
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name} is {values!r:.80}, not a list of numbers")
    return np.array([number({name: value}, name) for value in values])


def _present(document: Document, name: str) -> Any:
    if name not in document:
        raise ValueError(f"{name} is missing; the document has {', '.join(sorted(document)) or 'nothing'}")
    return document[name]
