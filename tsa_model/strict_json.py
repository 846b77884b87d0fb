"""What JSON readers of this project refuse: a key that stands twice in an object, and NaN or Infinity."""

from __future__ import annotations

from typing import Any


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, as `object_pairs_hook`.

    Raises:
        ValueError: it names the key that stands twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice")
    return content


def no_number(name: str) -> float:
    """Refuse what Python takes for a number and JSON does not, as `parse_constant`.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no number in JSON")
