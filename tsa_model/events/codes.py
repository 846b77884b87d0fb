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
