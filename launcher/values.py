"""Values as Kubernetes takes them, checked before a server sees them."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints

_UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("KMGTPE", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
}


def as_text(value: Any) -> Any:
    """A number that stands in YAML without quotes."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _pattern(pattern: str, form: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {form}")
        return text

    return AfterValidator(check)


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise ValueError("must be an absolute path of a folder in the container, such as /data")
    return str(path)


def _inner(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a relative path inside the volume")
    return text


Cpu = Annotated[
    str,
    BeforeValidator(as_text),
    _pattern(r"\d+(\.\d+)?|\d+m", 'processor cores, such as "2", "0.5" or "500m"'),
]
Bytes = Annotated[
    str,
    BeforeValidator(as_text),
    _pattern(r"\d+([KMGTPE]i?)?", "bytes, a whole number with or without a unit such as Mi or Gi"),
]
Image = Annotated[
    str,
    _pattern(
        r"[a-z0-9][\w.:/-]*(@[a-z0-9]+:[0-9a-f]+)?",
        "an image reference, such as registry.example/tsa-python@sha256:...",
    ),
]
KubernetesName = Annotated[
    str,
    StringConstraints(max_length=253),
    _pattern(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        "the name of an object in Kubernetes: lower case letters, digits, '-' and '.'",
    ),
]
VariableName = Annotated[
    str,
    _pattern(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable: letters, digits and '_'"),
]
LabelName = Annotated[
    str,
    _pattern(
        r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?",
        "the name of a label, such as team or example.com/team",
    ),
]
LabelValue = Annotated[
    str,
    BeforeValidator(as_text),
    _pattern(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", "the value of a label: at most 63 characters"),
]
Folder = Annotated[str, AfterValidator(_folder)]
InnerPath = Annotated[str, AfterValidator(_inner)]


def cores(cpu: str) -> Decimal:
    """Processor cores of a `Cpu`."""
    return Decimal(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)


def number_of_bytes(text: str) -> int:
    """Bytes of a `Bytes`."""
    digits = text.rstrip("KMGTPEi")
    return int(digits) * _UNITS[text.removeprefix(digits)]
