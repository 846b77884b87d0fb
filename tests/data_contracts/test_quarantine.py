from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.settings.run import RunConfig


@pytest.fixture
def tolerant(run: RunConfig) -> RunConfig:
    dataset = run.dataset.model_dump() | {"on_bad_rows": "quarantine", "max_bad_share": 0.02}
    return RunConfig.load({"dataset": dataset})


@pytest.fixture
def five_bad_rows(events: pd.DataFrame) -> pd.DataFrame:
    events["product"] = events["product"].astype(object)
    events.loc[3, "amount"] = np.inf
    events.loc[[3, 7], "fraud"] = 2  # row 3 breaks two rules and counts once
    events.loc[11, "product"] = "x" * 300
    events.loc[21, "order"] = 21  # orders 21 and 21: which is right cannot be known
    return events


def validate(path: str, run: RunConfig, outputs) -> dict:
    return validate_events(path, run, outputs.events, outputs.report, outputs.result, outputs.quarantine)


@pytest.mark.parametrize("name", ["events.parquet", "events.csv"])
def test_bad_rows_go_aside_with_reasons(
    five_bad_rows: pd.DataFrame, tolerant: RunConfig, outputs, save, name: str
) -> None:
    figures = validate(save(five_bad_rows, name), tolerant, outputs)
    bad = [4, 8, 12, 21, 21]
    good = [order for order in five_bad_rows["order"] if order not in bad]
    assert pq.read_table(outputs.events)["order"].to_pylist() == good
    aside = pd.read_csv(outputs.quarantine)
    assert sorted(aside["order"]) == bad
    reasons = dict(zip(aside["order"], aside["_problem"], strict=True))
    assert "fraud is 0, 1" in reasons[8]
    assert "at most 256 bytes" in reasons[12]
    assert "occurs once" in reasons[21]
    assert figures["bad_rows"] == 5
    assert figures["key_figure"].endswith("5 set aside")


def test_too_many_bad_rows_stop(events: pd.DataFrame, tolerant: RunConfig, outputs, save) -> None:
    events.loc[:8, "amount"] = np.inf  # 9 of 400 rows, 2 % allow 8
    with pytest.raises(ContractViolation, match="column amount: 9 of 400 rows"):
        validate(save(events), tolerant, outputs)
    assert not outputs.events.exists()


def test_a_later_run_leaves_no_old_rows_aside(
    five_bad_rows: pd.DataFrame, tolerant: RunConfig, outputs, save
) -> None:
    validate(save(five_bad_rows), tolerant, outputs)
    good = five_bad_rows.drop([3, 7, 11, 20, 21])
    validate(save(good), tolerant, outputs)
    assert not outputs.quarantine.exists()


def test_result_keeps_every_offending_order_id(events: pd.DataFrame, run: RunConfig, outputs, save) -> None:
    events.loc[100:179, "amount"] = np.inf
    with pytest.raises(ContractViolation):
        validate(save(events), run, outputs)
    findings = json.loads(outputs.result.read_text())["findings"]
    (broken,) = [finding for finding in findings if not finding["passed"]]
    assert broken["column"] == "amount"
    assert broken["bad_rows"] == 80
    assert broken["offending_order_ids"] == list(range(101, 181))
