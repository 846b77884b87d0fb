"""Orders that satisfy the contract are written in canonical form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.settings.run import RunConfig

Save = Callable[..., str]


def validate(path: str, run: RunConfig, outputs) -> dict:
    return validate_events(path, run, outputs.events, outputs.report, outputs.result, outputs.quarantine)


def test_canonical_types_and_values(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events.loc[[1, 2], "fraud"] = [-1, pd.NA]
    figures = validate(save(events), run, outputs)
    table = pq.read_table(outputs.events)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "order": "int64",
        "customer": "int64",
        "card": "int64",
        "time": "timestamp[us, tz=UTC]",
        "fraud": "int8",
        "amount": "double",
        "items": "double",
        "night": "double",
        "product": "string",
    }
    written = table.to_pandas()
    assert written["fraud"].isna().tolist() == [False, True, True] + [False] * 397
    assert (written["time"].astype("int64") // 10**6 == events["time"]).all()
    assert (written["amount"] == events["amount"]).all()
    assert written["card"].isna().sum() == events["card"].isna().sum() > 0
    assert figures["rows"] == 400
    assert figures["key_figure"] == "400 orders, 10.05% fraud"


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_text_and_typed_files_give_the_same_events(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, name: str
) -> None:
    validate(save(events), run, outputs)
    typed = pq.read_table(outputs.events)
    validate(save(events, name), run, outputs)
    assert pq.read_table(outputs.events).equals(typed)


def test_a_folder_is_read_in_name_order(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, tmp_path: Path
) -> None:
    save(events.iloc[200:], "folder/b.parquet")
    save(events.iloc[:200], "folder/a.parquet")
    (tmp_path / "folder" / "_SUCCESS").touch()
    validate(str(tmp_path / "folder"), run, outputs)
    assert pq.read_table(outputs.events)["order"].to_pylist() == list(range(1, 401))


def test_text_and_numbers_of_one_spelling_are_the_same_ids(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, tmp_path: Path
) -> None:
    save(events.iloc[:200], "folder/a.parquet")
    save(events.iloc[200:].astype({"order": str, "customer": str}), "folder/b.parquet")
    validate(str(tmp_path / "folder"), run, outputs)
    written = pq.read_table(outputs.events)
    assert written["order"].to_pylist() == events["order"].tolist()
    assert written["customer"].to_pylist() == events["customer"].tolist()


def test_ids_with_leading_zeros_stay_text(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events["order"] = events["order"].map("{:05d}".format)
    validate(save(events, "events.csv"), run, outputs)
    assert pq.read_table(outputs.events)["order"][:2].to_pylist() == ["00001", "00002"]


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda t: t.astype(str), id="text"),
        pytest.param(lambda t: t.astype(float), id="fractions"),
        pytest.param(lambda t: pd.to_datetime(t, unit="s"), id="naive is UTC"),
        pytest.param(lambda t: pd.to_datetime(t, unit="s", utc=True).dt.tz_convert("Asia/Tokyo"), id="zone"),
    ],
)
@pytest.mark.parametrize("name", ["events.parquet", "events.csv"])
def test_timestamps_are_the_same_moments(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, times: Callable, name: str
) -> None:
    seconds = events["time"].tolist()
    events["time"] = times(events["time"])
    validate(save(events, name), run, outputs)
    written = pq.read_table(outputs.events)["time"].cast("int64").to_pylist()
    assert written == [10**6 * second for second in seconds]


def test_unnamed_columns_are_ignored_and_reported(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save
) -> None:
    validate(save(events.assign(note="x")), run, outputs)
    assert "note" not in pq.read_schema(outputs.events).names
    assert json.loads(outputs.result.read_text())["ignored_columns"] == ["note"]


def test_same_events_give_the_same_bytes(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    path = save(events)
    validate(path, run, outputs)
    first = outputs.events.read_bytes()
    validate(path, run, outputs)
    assert outputs.events.read_bytes() == first


def test_simulated_events_pass(outputs) -> None:
    run = RunConfig.load("demo")
    small = run.model_copy(update={"simulation": run.simulation.model_copy(update={"orders": 5_000})})
    figures = validate("", small, outputs)
    assert figures["rows"] == 5_000
    assert figures["warnings"] == 0


def test_moments_of_labels_are_written_and_none_before_its_order(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save
) -> None:
    run = run.changed(dataset=run.dataset.changed(label_time="told", label_delay_days=3))
    events["told"] = pd.array(events["time"] + 3600, dtype="Int64")
    events.loc[::5, "told"] = pd.NA
    validate(save(events), run, outputs)
    told = pq.read_table(outputs.events)["told"]
    assert told.type == pa.timestamp("us", "UTC")
    assert told.null_count == 80
    events.loc[[17, 42], "told"] = events.loc[[17, 42], "time"] - 1
    with pytest.raises(ContractViolation) as caught:
        validate(save(events), run, outputs)
    message = str(caught.value)
    assert re.search(r'column told: 2 of 400 rows break "no told lies before the time of its order"', message)
    assert "order 18" in message
