"""Orders with values of every kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
from support.event_oracle import START_S


def frame(n: int = 800, seed: int = 2) -> pd.DataFrame:
    """One row per order."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": rng.permutation(n) + 7,
            "who": rng.integers(0, 30, n),
            "card": pd.array(rng.integers(0, 50, n), dtype="Int64"),
            "when": START_S + rng.integers(0, 16 * 1440, n) * 60,
            "fraud": pd.array(rng.choice([0, 0, 0, 1], n), dtype="Int64"),
            "shop": rng.choice(["a", "b", "c"], n),
            "country": rng.choice(["DE", "FR"], n),
            "amount": rng.lognormal(3, 1, n).round(2),
            "items": rng.integers(1, 5, n).astype(float),
        }
    )
