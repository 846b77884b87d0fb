from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsa_model.settings.run import RunConfig

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = 40


def run_description(**dataset: Any) -> RunConfig:
    """A description of four periods of ten days."""
    bounds = [START + timedelta(days=10 * k) for k in range(5)]
    split = {}
    for k, period in enumerate(("train", "vali", "cali", "test")):
        split |= {f"{period}_start": bounds[k], f"{period}_end": bounds[k + 1]}
    description = {
        "name": "small",
        "order_id": "order",
        "customer_id": "customer",
        "card_id": "card",
        "order_time": "time",
        "label": "fraud",
        "categorical": ["product"],
        "numerical": ["amount", "items"],
        "engineered": ["amount", "night"],
        "split": split,
    }
    return RunConfig.load({"dataset": description | dataset})


@pytest.fixture
def run() -> RunConfig:
    return run_description()


@pytest.fixture
def events() -> pd.DataFrame:
    """400 orders that satisfy the contract, ten a day."""
    rng = np.random.default_rng(0)
    n = 10 * DAYS
    return pd.DataFrame(
        {
            "order": np.arange(1, n + 1),
            "customer": rng.integers(1, 40, n),
            "card": pd.array(np.where(rng.random(n) < 0.1, None, rng.integers(1, 60, n)), dtype="Int64"),
            "time": int(START.timestamp()) + np.sort(rng.integers(0, DAYS * 86_400, n)),
            "fraud": pd.array(np.where(np.arange(n) % 10 == 0, 1, 0), dtype="Int8"),
            "product": rng.choice(["book", "toy", "game"], n),
            "amount": rng.lognormal(3, 1, n).round(2),
            "items": rng.integers(1, 5, n),
            "night": rng.integers(0, 2, n).astype(float),
        }
    )


class Outputs:
    """Where one validation writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = folder / "events.parquet"
        self.report = folder / "report.html"
        self.result = folder / "result.json"
        self.quarantine = folder / "aside.csv"


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "out")


@pytest.fixture
def save(tmp_path: Path) -> Callable[[pd.DataFrame, str], str]:
    """Write a frame under a name, in the format of its suffix."""

    def write(frame: pd.DataFrame, name: str = "events.parquet") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
        return str(path)

    return write
