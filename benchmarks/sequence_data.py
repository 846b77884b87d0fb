"""The orders that `sequences.py` makes sequences of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

N_CAT, N_NUM, SEQ_LEN = 53, 47, 51
START_S = 1_700_000_000


def simulate(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = {
        "id": rng.permutation(n),
        "customer": rng.integers(0, n // 60, n),
        "card": rng.integers(0, n // 40, n),
        "time": START_S + rng.integers(0, 120 * 86_400, n),
        "fraud": (rng.random(n) < 0.02).astype(int),
    }
    columns |= {f"c{i}": rng.choice([f"value {v}" for v in range(20)], n) for i in range(N_CAT)}
    columns |= {f"n{i}": rng.lognormal(3, 1, n).round(2) for i in range(N_NUM)}
    return pd.DataFrame(columns)


def describe() -> dict[str, Any]:
    ends = {"train": (30, 90), "vali": (90, 100), "cali": (100, 110), "test": (110, 120)}
    split_days = {
        f"{period}_{end}": pd.Timestamp(START_S + day * 86_400, unit="s", tz="UTC").isoformat()
        for period, days in ends.items()
        for end, day in zip(("start", "end"), days, strict=True)
    }
    return {
        "name": "benchmark",
        "order_id": "id",
        "customer_id": "customer",
        "card_id": "card",
        "order_time": "time",
        "label": "fraud",
        "categorical": [f"c{i}" for i in range(N_CAT)],
        "numerical": [f"n{i}" for i in range(N_NUM)],
        "split": split_days,
    }


def simulate_wide(n: int) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Wide rows with histories of 0 to 50 orders per key, and what is needed to parse them."""
    rng = np.random.default_rng(0)
    categorical, numerical = [f"cat_{i}" for i in range(40)], [f"num_{i}" for i in range(36)]
    meta = {
        "categorical": categorical,
        "numerical": numerical,
        "categorical_map": {c: {f"v{v}": 6 * i + v + 1 for v in range(6)} for i, c in enumerate(categorical)},
        "numerical_scale": rng.random(len(numerical)).tolist(),
        "numerical_min": rng.random(len(numerical)).tolist(),
        "default_values": dict.fromkeys(categorical, "v0") | dict.fromkeys(numerical, "0"),
        "n_embedding": 6 * len(categorical) + len(numerical),
    }
    marks = [f"{kind}_{mark}" for kind in ("cat", "num") for mark in ("objectId", "orderDate")]
    meta["columns"] = [*categorical, *numerical, *marks]
    words = np.array(["v0", "v1", "v2", "v3", "v4", "v5", "unseen", ""])

    def values(name: str, count: int) -> list[str]:
        if name in meta["categorical_map"]:
            return rng.choice(words, count).tolist()
        return [f"{value:.4f}" for value in rng.random(count) * 100]

    rows = []
    for i in range(n):
        row = {"order_id": f"T{i}", "orderDate": str(START_S)}
        row |= {name: values(name, 1)[0] for name in (*categorical, *numerical)}
        for key in ("cid", "ccid"):
            dates = np.sort(rng.integers(START_S - 9_000_000, START_S, rng.integers(0, SEQ_LEN)))
            for kind in ("cat", "num"):
                row[f"{kind}_orderDate_by_{key}"] = "~".join(map(str, dates))
                row[f"{kind}_objectId_by_{key}"] = "~".join(f"o{date}_{j}" for j, date in enumerate(dates))
            for name in (*categorical, *numerical):
                row[f"{name}_by_{key}"] = "~".join(values(name, len(dates)))
        rows.append(row)
    return rows, meta
