"""Columns that only the champion reads come along from the first stage, or are refused there."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.small_training import small_run

from data_contracts.columns import FOR_CHAMPION, event_columns
from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders


@pytest.fixture(scope="module")
def runs() -> tuple[RunConfig, DatasetDescription]:
    """A run without the categorical feature `country`, and a champion that has it."""
    run = small_run()
    fewer = tuple(name for name in run.dataset.categorical if name != "country")
    return run.changed(dataset=run.dataset.changed(categorical=fewer)), run.dataset


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    run = small_run()
    assert run.simulation is not None
    return pd.DataFrame(simulate_orders(run.simulation))


def validate(folder: Path, orders: pd.DataFrame, run: RunConfig, champion: DatasetDescription | None) -> Path:
    orders.to_parquet(folder / "orders.parquet")
    paths = (folder / "valid.parquet", folder / "report.html", folder / "result.json")
    validate_events(str(folder / "orders.parquet"), run, *paths, champion=champion)
    return paths[0]


def test_a_column_of_the_champion_is_kept(tmp_path: Path, runs, orders) -> None:
    run, champion = runs
    assert "country" not in pq.read_schema(validate(tmp_path, orders, run, None)).names
    kept = pq.read_table(validate(tmp_path, orders, run, champion))
    assert kept["country"].to_pylist() == orders["country"].tolist()
    columns = json.loads((tmp_path / "result.json").read_text())["columns"]
    assert [one["name"] for one in columns if one["meaning"] == FOR_CHAMPION] == ["country"]


def test_a_column_of_the_champion_that_is_missing_is_refused_by_name(tmp_path: Path, runs, orders) -> None:
    run, champion = runs
    with pytest.raises(ContractViolation, match="country"):
        validate(tmp_path, orders.drop(columns="country"), run, champion)
    assert "read by the champion only" in (tmp_path / "result.json").read_text()
    assert not (tmp_path / "valid.parquet").exists()


def test_the_same_description_asks_for_no_more(runs) -> None:
    _, champion = runs
    assert event_columns(champion, champion) == event_columns(champion)


def test_a_column_that_the_champion_reads_as_another_kind_is_refused(runs) -> None:
    run, champion = runs
    other = champion.changed(label="country", categorical=run.dataset.categorical)
    assert "country" in {column.name for column in event_columns(run.dataset, other)}
    with pytest.raises(ValueError, match="the champion reads it as label"):
        event_columns(champion, other)
