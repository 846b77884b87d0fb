"""Too little memory for DuckDB is said with the setting that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_training import small_run

from data_contracts.whole import connect
from tsa_model.sequences import SequenceStore
from tsa_model.sequences.sorting.duckdb_memory import VARIABLE
from tsa_model.simulation import simulate_orders


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            "1MB",
            f"sorting the orders needs more memory than the 1MB that DuckDB may take: set {VARIABLE}=2GB",
        ),
        ("a lot", f"{VARIABLE}='a lot' is no amount of memory"),
    ],
)
def test_a_limit_that_is_too_small_or_none_is_named(tmp_path: Path, monkeypatch, limit, words) -> None:
    run = small_run()
    assert run.simulation is not None
    orders = simulate_orders(run.simulation)
    monkeypatch.setenv(VARIABLE, limit)
    with pytest.raises(ValueError, match=words):
        SequenceStore.build(orders, run.dataset, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []
    orders.to_parquet(tmp_path / "orders.parquet")
    if limit == "a lot":
        with pytest.raises(ValueError, match=words), connect(tmp_path / "orders.parquet"):
            pass
