"""Wide rows: the order's own id, time and label are checked, the histories reach the store as they came."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

START_S = 1_740_787_200  # 2025-03-01 UTC


@pytest.fixture
def wide(run: RunConfig) -> RunConfig:
    dataset = run.dataset.model_dump() | {
        "layout": "wide",
        "order_id": "objectId",
        "customer_id": "cid",
        "card_id": None,
        "order_time": "orderDate",
        "label": "label",
        "numerical": ["amount"],
        "engineered": [],
    }
    return RunConfig.load({"dataset": dataset})


@pytest.fixture
def rows() -> pd.DataFrame:
    """40 orders, one a day, each with the one before as its history."""
    orders = range(40)
    times = [START_S + 86_400 * k + 3_600 for k in orders]
    before = ["" if k == 0 else str(times[k - 1]) for k in orders]
    ids = ["" if k == 0 else f"o{k - 1}" for k in orders]
    return pd.DataFrame(
        {
            "objectId": [f"o{k}" for k in orders],
            "orderDate": list(map(str, times)),
            "label": [str(k % 2) for k in orders],
            "product": ["book", "My Text String"] * 20,
            "amount": [f"{k}.5" for k in orders],
            "product_by_cid": ["" if k == 0 else "book" for k in orders],
            "amount_by_cid": ["" if k == 0 else "3.25" for k in orders],
            "cat_objectId_by_cid": ids,
            "num_objectId_by_cid": ids,
            "cat_orderDate_by_cid": before,
            "num_orderDate_by_cid": before,
        }
    )


def validate(path: str, run: RunConfig, outputs) -> dict:
    return validate_events(path, run, outputs.events, outputs.report, outputs.result)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_the_store_is_that_of_the_raw_rows(
    rows: pd.DataFrame, wide: RunConfig, outputs, save, tmp_path: Path, name: str
) -> None:
    path = save(rows, name)
    figures = validate(path, wide, outputs)
    assert figures["rows"] == 40
    assert figures["warnings"] == 0
    of_raw = SequenceStore.build(path, wide.dataset, tmp_path / "raw")
    of_valid = SequenceStore.build(outputs.events, wide.dataset, tmp_path / "valid")
    assert of_valid.digest == of_raw.digest
    measured = {entry["feature"] for entry in json.loads(outputs.result.read_text())["drift"]}
    assert measured == {"product", "amount"}


def test_the_culprit_is_named(rows: pd.DataFrame, wide: RunConfig, outputs, save) -> None:
    rows.loc[3, "label"] = "2"
    rows.loc[5, "orderDate"] = "soon"
    with pytest.raises(ContractViolation) as caught:
        validate(save(rows), wide, outputs)
    assert "column label: 1 of 40 rows" in str(caught.value)
    assert "'soon' (order o5)" in str(caught.value)
    missing = r"the column 'num_objectId_by_cid' is missing; .* \(40 rows, the first is order o0\)"
    with pytest.raises(ContractViolation, match=missing):
        validate(save(rows.drop(columns="num_objectId_by_cid")), wide, outputs)


def test_an_endless_history_is_refused(rows: pd.DataFrame, wide: RunConfig, outputs, tmp_path: Path) -> None:
    rows.loc[0, "product_by_cid"] = "x" * 20_000
    pq.write_table(pa.Table.from_pandas(rows), tmp_path / "rows.parquet")
    with pytest.raises(ContractViolation, match=r"column product_by_cid: 1 of 40 rows break .* 12850 bytes"):
        validate(str(tmp_path / "rows.parquet"), wide, outputs)
