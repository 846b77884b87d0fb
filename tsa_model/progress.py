"""Messages of a running stage to its launcher: progress lines on standard output, and plain metadata."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

_LINE = re.compile(r"^\s*\[progress\] (\{.*\})\s*$")


class Progress(NamedTuple):
    """One progress line, read back."""

    done: int
    total: int
    unit: str
    note: str


def report(done: int, total: int, unit: str = "", note: str = "") -> None:
    """Print one progress line: `[progress] {"done": 3, "total": 10, "unit": "epoch", "note": ""}`.

    Args:
        done: units finished so far.
        total: units altogether; 0 when it is not known.
        unit: what is counted, in the singular ("epoch", "batch").
        note: a short figure to show beside the bar, such as "val/auroc 0.912".
    """
    content = {"done": int(done), "total": int(total), "unit": unit, "note": note}
    print(f"[progress] {json.dumps(content)}", flush=True)


def parse(line: str) -> Progress | None:
    """Read a line of a stage's output; None when it is not a progress line.

    Args:
        line: one line, with or without its line end or an indentation.
    """
    match = _LINE.match(line)
    if match is None:
        return None
    try:
        content = json.loads(match.group(1))
        return Progress(
            int(content["done"]),
            int(content["total"]),
            str(content.get("unit", "")),
            str(content.get("note", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None  # text that only looks like ours is ordinary output


def metadata(metrics: dict[str, Any]) -> dict[str, Any]:
    """The part of a stage's metrics that Kubeflow stores with an artifact.

    Nested dictionaries become dotted names; numbers of numpy or torch become Python's. Numbers that are
    not finite (Kubeflow refuses them), lists and None are left out.

    Args:
        metrics: the dictionary a stage function returned.

    Returns:
        Names to strings, booleans, integers and finite floats.
    """
    plain: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            plain.update({f"{name}.{inner}": item for inner, item in metadata(value).items()})
            continue
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            plain[name] = value
    return plain
