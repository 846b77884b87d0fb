"""A text column as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")


@dataclass
class Codes:
    """A text column as indices into its distinct values."""

    code: np.ndarray
    """[N] int32; -1 = missing."""
    values: list[str]

    def folded(self) -> Codes:
        """The same column where texts that differ only in spelling are one; see `fold`."""
        number: dict[str, int] = {}
        place = [number.setdefault(fold(value), len(number)) for value in self.values]
        return Codes(np.array([*place, -1], dtype=np.int32)[self.code], list(number))


def fold(text: str) -> str:
    """A text without capitals, and with one space wherever words are apart by spaces, hyphens or underscores.

    " Misc-NET", "misc_net" and "misc net" are one; "-1" and "1" stay two.
    """
    return " ".join(_BETWEEN_WORDS.sub(" ", text).split()).casefold()
