"""A text column as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Codes:
    """A text column as indices into its distinct values."""

    code: np.ndarray
    """[N] int32; -1 = missing."""
    values: list[str]

    def folded(self) -> Codes:
        """The same column where texts that differ only in case and spaces are one."""
        number: dict[str, int] = {}
        place = [number.setdefault(fold(value), len(number)) for value in self.values]
        return Codes(np.array([*place, -1], dtype=np.int32)[self.code], list(number))


def fold(text: str) -> str:
    """A text without capitals, and with one space wherever it has some."""
    return " ".join(text.split()).casefold()
