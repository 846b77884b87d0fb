"""What breaks no rule and is most likely not meant is warned about, with count and example."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.written_forms import CASES, orders, parquet

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

RUN = RunConfig.load(CASES / "run.yaml")
WIDE = RunConfig.load(CASES / "wide.yaml")


def result(path: Path | str, folder: Path, run: RunConfig = RUN) -> dict:
    out = folder / "out"
    validate_events(str(path), run, out / "events.parquet", out / "report.html", out / "result.json")
    return json.loads((out / "result.json").read_text())


def warnings(found: dict) -> dict[tuple[str | None, str], dict]:
    broken = [finding for finding in found["findings"] if not finding["passed"]]
    assert all(finding["severity"] == "warn" for finding in broken)
    return {(finding["column"], finding["sentence"]): finding for finding in broken}


def with_texts(name: str, change: dict[int, str]) -> pa.Table:
    table = orders()
    texts = table[name].to_pylist()
    for row, text in change.items():
        texts[row] = text
    return table.set_column(table.column_names.index(name), name, pa.array(texts))


def test_plain_orders_have_none(tmp_path):
    assert not warnings(result(CASES / "orders.parquet", tmp_path))
    assert not warnings(result(CASES / "wide.parquet", tmp_path, WIDE))


def test_a_key_of_an_outlying_share_of_orders(tmp_path):
    table = with_texts("card_id", dict.fromkeys(range(0, 1_600, 20), "unknown"))
    finding = warnings(result(parquet(table, tmp_path), tmp_path))[
        "card_id", "no id holds an outlying share of all orders"
    ]
    assert finding["bad_rows"] == 80
    assert finding["examples"][0]["value"] == "unknown in 80 orders (5.0%)"
    assert "missing_words" in finding["detail"]


@pytest.mark.parametrize(("column", "usual"), [("country", "DE"), ("card_id", "k0009")])
def test_values_that_differ_only_in_case_or_spaces(column, usual, tmp_path):
    texts = orders()[column].to_pylist()
    rows = [row for row, text in enumerate(texts) if text == usual][:4]
    change = {
        rows[0]: usual.lower() if usual.isupper() else usual.upper(),
        rows[1]: f"{usual[0]} {usual[1:]}",
    }
    table = with_texts(column, change)
    found = warnings(result(parquet(table, tmp_path), tmp_path))
    finding = found[column, "values differ in more than case and spaces"]
    assert finding["bad_rows"] == 2
    assert repr(usual) in finding["examples"][0]["value"]


def test_spaces_around_a_category_are_seen(tmp_path):
    table = with_texts("country", {3: "DE ", 4: " DE"})
    found = warnings(result(parquet(table, tmp_path), tmp_path))
    assert found["country", "values differ in more than case and spaces"]["bad_rows"] == 2


@pytest.mark.parametrize("form", ["date32", "text"])
def test_times_that_are_all_at_midnight(form, tmp_path):
    dates = orders()["order_time"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    table = orders().set_column(3, "order_time", dates if form == "date32" else dates.cast(pa.string()))
    found = warnings(result(parquet(table, tmp_path), tmp_path))
    assert "all 1,600 are at midnight" in found["order_time", "order times have a time of day"]["detail"]


def test_exact_duplicates_of_rows_are_counted_and_one_is_kept(tmp_path):
    table = pa.concat_tables([orders(), orders().slice(100, 25), orders().slice(110, 3)])
    found = result(parquet(table, tmp_path), tmp_path)
    finding = warnings(found)[None, "no row stands in the input twice"]
    assert (finding["bad_rows"], found["duplicate_rows"], found["bad_rows"]) == (28, 28, 0)
    assert finding["offending_order_ids"][0] == "000100"
    plain = SequenceStore.build(CASES / "orders.parquet", RUN.dataset, tmp_path / "plain")
    checked = SequenceStore.build(tmp_path / "out" / "events.parquet", RUN.dataset, tmp_path / "checked")
    assert checked.digest == plain.digest


def test_rows_of_one_order_that_differ_stop_though_others_are_duplicates(tmp_path):
    other = orders().slice(7, 1).set_column(7, "amount", pa.array([1.0]))
    table = pa.concat_tables([orders(), orders().slice(100, 5), other])
    with pytest.raises(
        ContractViolation, match=r"column order_id: 2 of 1,606 rows .*'2 times' \(order 000007\)"
    ):
        result(parquet(table, tmp_path), tmp_path)


def test_an_order_inside_its_own_history(tmp_path):
    rows = pd.read_parquet(CASES / "wide.parquet")
    filled = np.flatnonzero(rows["cat_objectId_by_cid"] != "")[:3]
    for row in filled:
        for kind in ("cat", "num"):
            name = f"{kind}_objectId_by_cid"
            ids = rows.at[row, name].split("~")
            rows.at[row, name] = "~".join([*ids[:-1], rows.at[row, "order_id"]])
    rows.to_parquet(tmp_path / "rows.parquet")
    finding = warnings(result(tmp_path / "rows.parquet", tmp_path, WIDE))[
        "cat_objectId_by_cid", "no order is in its own history"
    ]
    assert finding["bad_rows"] == 3
    assert finding["offending_order_ids"] == rows["order_id"][filled].tolist()


def test_the_contract_stops_histories_whose_sides_do_not_match(tmp_path):
    rows = pd.read_parquet(CASES / "wide.parquet")
    rows["num_objectId_by_cid"] = rows["num_objectId_by_cid"].str.replace(r"(\d+)", r"\1.0", regex=True)
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(
        ContractViolation, match=r"write one id in two ways, '(\d+)' and '\1\.0' \(order \d+\)"
    ):
        result(tmp_path / "rows.parquet", tmp_path, WIDE)


def test_a_column_squeezed_by_a_few_huge_numbers_is_named_with_its_setting(tmp_path):
    amount = orders()["amount"].to_pylist()
    amount[700] = 1e9
    path = parquet(orders().set_column(7, "amount", pa.array(amount)), tmp_path)
    found = warnings(result(path, tmp_path))
    finding = found[None, "scaled numbers can be told apart"]
    assert "'amount'" in finding["detail"]
    assert "scale_quantile" in finding["detail"]
    with pytest.warns(UserWarning, match="'amount'.*scale_quantile"):
        SequenceStore.build(path, RUN.dataset, tmp_path / "store")
    better = RUN.changed(dataset=RUN.dataset.changed(scale_quantile=0.99))
    assert (None, "scaled numbers can be told apart") not in warnings(result(path, tmp_path, better))


def test_a_column_of_mostly_one_value_is_not_squeezed(tmp_path):
    items = [1] * 1_600
    items[5] = 100_000
    path = parquet(orders().set_column(8, "items", pa.array(items)), tmp_path)
    assert (None, "scaled numbers can be told apart") not in warnings(result(path, tmp_path))


def test_the_report_lists_what_was_read_and_what_was_not(tmp_path):
    folder = tmp_path / "orders"
    parquet(orders().slice(0, 1_000), folder, "a.parquet")
    parquet(orders().slice(0, 0), folder / "more", "b.parquet")
    os.symlink(parquet(orders().slice(1_000), tmp_path / "elsewhere"), folder / "c.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.parquet").touch()
    found = result(folder, tmp_path)
    read = {entry["file"]: (entry["rows"], entry["note"]) for entry in found["files"]["read"]}
    assert read["a.parquet"] == (1_000, "")
    assert read["more/b.parquet"] == (0, "no rows")
    assert read["c.parquet"][0] == 600
    assert read["c.parquet"][1].startswith("a link to")
    left_out = {entry["file"]: entry["reason"] for entry in found["files"]["left_out"]}
    assert left_out == {"_SUCCESS": "its name begins with _", ".hidden.parquet": "hidden"}
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("more/b.parquet", "no rows", ".hidden.parquet", "its name begins with _"):
        assert words in page


def test_a_category_written_as_a_number_is_checked_as_it_is_built(tmp_path):
    table = with_texts("country", {})
    run = RUN.changed(dataset=RUN.dataset.changed(numeric_categorical=("country",)))
    with pytest.raises(
        ContractViolation, match=r"column country: 1,600 of 1,600 rows .*'US' \(order 000000\)"
    ):
        result(parquet(table, tmp_path), tmp_path, run)
    pq.write_table(table.set_column(6, "country", pa.array(["3.0"] * 1_600)), tmp_path / "numbers.parquet")
    found = result(tmp_path / "numbers.parquet", tmp_path, run)
    assert found["passed"]
    assert pq.read_table(tmp_path / "out" / "events.parquet")["country"][0].as_py() == "3"
