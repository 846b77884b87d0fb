"""Orders that break the contract stop the run, and the message names the culprit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.settings.run import RunConfig

Save = Callable[..., str]


def validate(path: str, run: RunConfig, outputs) -> dict:
    return validate_events(path, run, outputs.events, outputs.report, outputs.result, outputs.quarantine)


def refused(path: str, run: RunConfig, outputs) -> str:
    """Validate what must be refused; return the message."""
    with pytest.raises(ContractViolation) as caught:
        validate(path, run, outputs)
    assert not outputs.events.exists(), "refused events were written"
    assert sorted(p.name for p in outputs.folder.iterdir()) == ["report.html", "result.json"]
    result = json.loads(outputs.result.read_text())
    assert result["passed"] is False
    assert "broken" in outputs.report.read_text()
    return str(caught.value)


def names_culprit(message: str, column: str, rows: str, example: str) -> None:
    pattern = f"column {column}: {re.escape(rows)} rows break .*{re.escape(example)}"
    assert re.search(pattern, message), message


# The seven inputs that must stop here.


def test_missing_column(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    message = refused(save(events.drop(columns="amount")), run, outputs)
    assert "the column 'amount' is missing; " in message
    assert "events.parquet has: order, customer, " in message
    assert "(400 rows, the first is order 1)" in message
    assert "rows break" not in message
    assert f"Report: {outputs.report}" in message
    finding = next(f for f in json.loads(outputs.result.read_text())["findings"] if f["column"] == "amount")
    assert (finding["rows"], finding["bad_rows"], finding["offending_order_ids"]) == (400, 400, [1])


def test_duplicated_order_id(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events.loc[399, "order"] = 17
    message = refused(save(events), run, outputs)
    names_culprit(message, "order", "2 of 400", "'2 times' (order 17)")


@pytest.mark.parametrize(("name", "value"), [("events.parquet", 2), ("events.csv", 2)])
def test_unknown_label(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, name: str, value: int
) -> None:
    events.loc[[4, 7], "fraud"] = value
    message = refused(save(events, name), run, outputs)
    names_culprit(message, "fraud", "2 of 400", "2.0 (order 5)")


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda t: t > 0, id="booleans"),
        pytest.param(lambda t: t.map(lambda second: [second]), id="lists"),
        pytest.param(lambda t: t.map("in {}".format), id="words"),
        pytest.param(lambda t: t.map("{:.4e}".format), id="shortened"),
    ],
)
def test_order_time_of_the_wrong_type(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, times: Callable
) -> None:
    events["time"] = times(events["time"])
    message = refused(save(events), run, outputs)
    names_culprit(message, "time", "400 of 400", "(order 1)")


def test_order_time_that_is_no_time_in_a_text_file(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save
) -> None:
    events["time"] = events["time"].astype(object)
    events.loc[9, "time"] = "yesterday"
    message = refused(save(events, "events.csv"), run, outputs)
    names_culprit(message, "time", "1 of 400", "'yesterday' (order 10)")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("events.parquet", np.inf, "inf"), ("events.parquet", np.nan, "nan"), ("events.csv", -np.inf, "-inf")],
)
def test_amount_that_is_not_finite(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, name: str, value: float, shown: str
) -> None:
    events.loc[[2, 5, 8], "amount"] = value
    message = refused(save(events, name), run, outputs)
    names_culprit(message, "amount", "3 of 400", f"{shown} (order 3)")


def test_amount_that_is_no_number(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events["amount"] = events["amount"].astype(object)
    events.loc[3, "amount"] = "NA"
    message = refused(save(events, "events.csv"), run, outputs)
    names_culprit(message, "amount", "1 of 400", "'NA' (order 4)")


def test_empty_files(events: pd.DataFrame, run: RunConfig, outputs, save: Save, tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").touch()
    assert "empty.parquet is empty: 0 bytes" in refused(str(tmp_path / "empty.parquet"), run, outputs)
    (tmp_path / "empty.csv").touch()
    assert "empty.csv is empty: 0 bytes" in refused(str(tmp_path / "empty.csv"), run, outputs)
    for name in ("none.parquet", "none.csv"):
        message = refused(save(events.head(0), name), run, outputs)
        assert '"there are orders that can be used": 0 of 0 rows' in message


def test_text_file_renamed_to_parquet(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, tmp_path: Path
) -> None:
    shutil.move(save(events, "events.csv"), tmp_path / "events.parquet")
    message = refused(str(tmp_path / "events.parquet"), run, outputs)
    assert "events.parquet is not a Parquet file: it begins with b'orde'" in message


# More that must not get through.


def test_damaged_files(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    path = Path(save(events))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is truncated" in refused(str(path), run, outputs)
    pq.write_table(pq.read_table(save(events)), path, write_page_checksum=True)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 4] ^= 1
    path.write_bytes(damaged)
    assert "cannot be read to its end" in refused(str(path), run, outputs)


def test_nothing_there(run: RunConfig, outputs, tmp_path: Path) -> None:
    assert "there is no file or folder" in refused(str(tmp_path / "nothing.csv"), run, outputs)
    (tmp_path / "folder").mkdir()
    assert "holds no files" in refused(str(tmp_path / "folder"), run, outputs)


def test_row_of_another_length(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    path = Path(save(events, "events.csv"))
    path.write_text(path.read_text() + "401,5\n")
    assert "Expected 9 columns, got 2" in refused(str(path), run, outputs)


def test_column_named_twice(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    path = save(events.rename(columns={"night": "amount"}), "events.csv")
    assert "has more than one column named amount" in refused(
        path, RunConfig.load({"dataset": run.dataset.model_dump() | {"engineered": ["amount"]}}), outputs
    )


def test_milliseconds_are_not_taken_for_seconds(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save
) -> None:
    events["time"] *= 1000
    names_culprit(refused(save(events), run, outputs), "time", "400 of 400", "(order 1)")


def test_missing_ids(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events["order"] = events["order"].astype("Int64")
    events["customer"] = events["customer"].astype("Int64")
    events.loc[11, "order"] = pd.NA
    events.loc[12, "customer"] = pd.NA
    message = refused(save(events), run, outputs)
    names_culprit(message, "order", "1 of 400", "missing (row 12)")
    names_culprit(message, "customer", "1 of 400", "missing (order 13)")


def test_an_empty_text_is_a_missing_id(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events["customer"] = events["customer"].astype(str)
    events.loc[12, "customer"] = ""
    names_culprit(refused(save(events), run, outputs), "customer", "1 of 400", "missing (order 13)")


def test_ids_beyond_64_bits(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events["order"] = events["order"].astype("uint64") + 2**63 - 6
    message = refused(save(events), run, outputs)
    names_culprit(message, "order", "395 of 400", f"{2**63} (order {2**63})")


def test_a_zero_byte_in_a_text(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events.loc[2, "product"] = "bo\0ok"
    names_culprit(refused(save(events), run, outputs), "product", "1 of 400", "(order 3)")


def test_overlong_text(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events.loc[0, "product"] = "x" * 257
    names_culprit(refused(save(events), run, outputs), "product", "1 of 400", "(order 1)")


def test_training_without_known_frauds(events: pd.DataFrame, run: RunConfig, outputs, save: Save) -> None:
    events.loc[events["time"] < events["time"].min() + 11 * 86_400, "fraud"] = 0
    message = refused(save(events), run, outputs)
    assert 'broken: "training and validation contain known frauds": train: 0' in message


def test_every_broken_rule_is_named_at_once(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save
) -> None:
    events.loc[0, "amount"] = np.inf
    events.loc[1, "fraud"] = 3
    events.loc[3, "order"] = 3
    message = refused(save(events), run, outputs)
    for column in ("amount", "fraud", "order"):
        assert f"column {column}: " in message


def test_files_with_different_ids_do_not_mix(
    events: pd.DataFrame, run: RunConfig, outputs, save: Save, tmp_path: Path
) -> None:
    save(events.iloc[:200], "folder/a.parquet")
    text = events.iloc[200:].astype({"customer": str})
    text["customer"] = text["customer"].str.zfill(4)
    save(text, "folder/b.parquet")
    message = refused(str(tmp_path / "folder"), run, outputs)
    assert re.search(
        r"column customer: '\d+' \(.*a.parquet\) and '0\d+' \(.*b.parquet\) seem to be one id", message
    )


def test_without_events_and_simulation(run: RunConfig, outputs) -> None:
    with pytest.raises(ValueError, match="no simulation section"):
        validate("", run, outputs)
