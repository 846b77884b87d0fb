"""One id is one customer, however it is written, or a refusal that shows both spellings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.written_forms import CASES, as_strings, orders, parquet

from tsa_model.events.errors import BadEvents
from tsa_model.events.ids import IdForm, cast_id, number_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

DATASET = RunConfig.load(CASES / "run.yaml").dataset


def customers(change) -> pa.Table:
    """The orders as text, the customer of the later half written otherwise."""
    table = as_strings(orders())
    ids = table["customer_id"].to_pylist()
    ids = [id_ if row < 800 else change(id_) for row, id_ in enumerate(ids)]
    return table.set_column(1, "customer_id", pa.array(ids, pa.string()))


def split(table: pa.Table, folder: Path, kind: str) -> Path:
    """The two halves as two files."""
    folder.mkdir()
    for name, part in (("a", table.slice(0, 800)), ("b", table.slice(800))):
        if kind == "csv":
            part.to_pandas().to_csv(folder / f"{name}.csv", index=False)
        else:
            parquet(part, folder, f"{name}.parquet")
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("change", "spelled"),
    [
        (lambda id_: id_.lstrip("0"), "9"),
        (lambda id_: f"{int(id_)}.0", "9.0"),
        (lambda id_: f"+{id_}", "\\+00009"),
        (lambda id_: f"0{id_}", "000009"),
    ],
)
def test_an_id_in_two_spellings_that_may_be_two_ids_is_refused(change, spelled, kind, tmp_path):
    path = split(customers(change), tmp_path / "orders", kind)
    with pytest.raises(
        BadEvents, match=r"column customer_id: '\d+' .*a\..* seem to be one id in two"
    ) as error:
        SequenceStore.build(path, DATASET, tmp_path / "store")
    assert "b." in str(error.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "change",
    [
        lambda id_: f"{id_}.0",
        lambda id_: f" {id_} ",
        lambda id_: f"{id_}.",
        lambda id_: f"{int(id_):d}.00",
        lambda id_: f"{int(id_):.15e}".replace("e+0", "E+"),
    ],
)
def test_a_whole_number_is_one_customer_in_any_spelling(change, kind, tmp_path):
    plain = customers(lambda id_: id_)
    ids = [str(100 + int(id_)) for id_ in plain["customer_id"].to_pylist()]
    whole = plain.set_column(1, "customer_id", pa.array(ids))
    changed = [id_ if row < 800 else change(id_) for row, id_ in enumerate(ids)]
    written = plain.set_column(1, "customer_id", pa.array(changed))
    expected = SequenceStore.build(parquet(whole, tmp_path / "plain"), DATASET, tmp_path / "one")
    got = SequenceStore.build(split(written, tmp_path / "orders", kind), DATASET, tmp_path / "two")
    assert got.digest == expected.digest


def test_numbers_and_text_of_them_are_the_same_ids_in_parts(tmp_path):
    table = orders()
    number = pa.array([int(id_) + 100 for id_ in table["customer_id"].to_pylist()])
    whole = table.set_column(1, "customer_id", number)
    text = whole.set_column(1, "customer_id", number.cast(pa.string()))
    real = whole.set_column(1, "customer_id", number.cast(pa.float64()))
    (tmp_path / "orders").mkdir()
    for name, part in {"a": whole.slice(0, 500), "b": text.slice(500, 500), "c": real.slice(1000)}.items():
        parquet(part, tmp_path / "orders", f"{name}.parquet")
    expected = SequenceStore.build(whole, DATASET, tmp_path / "one")
    assert SequenceStore.build(tmp_path / "orders", DATASET, tmp_path / "two").digest == expected.digest


def test_an_id_that_a_spreadsheet_shortened_is_refused_beside_a_whole_one(tmp_path):
    table = customers(lambda id_: id_)
    ids = [str(123_456_789_000 + int(id_)) for id_ in table["customer_id"].to_pylist()]
    ids[1_200] = "1.23457E+11"
    path = parquet(table.set_column(1, "customer_id", pa.array(ids)), tmp_path)
    with pytest.raises(
        BadEvents, match=r"spreadsheet shortened .*'1234567890\d\d'.*'1.23457E\+11' \(order 001200"
    ):
        SequenceStore.build(path, DATASET, tmp_path / "store")


def test_history_file_and_scored_file_are_one_set_of_ids(tmp_path):
    table = customers(lambda id_: f"{int(id_)}")
    history, today = tmp_path / "history.parquet", tmp_path / "today.csv"
    pq.write_table(table.slice(0, 800), history)
    table.slice(800).to_pandas().to_csv(today, index=False)
    with pytest.raises(BadEvents, match=r"history.parquet.* and .*today.csv.* seem to be one id"):
        SequenceStore.build([history, today], DATASET, tmp_path / "store")


def test_ids_that_only_look_alike_stay_two(tmp_path):
    ids = pa.array(["7", "a7", "7e2", "0x7", "7-0", "seven"])
    assert cast_id(ids, IdForm(is_whole=False)).values.to_pylist() == ids.to_pylist()
    assert [number_of(id_) for id_ in ids.to_pylist()] == ids.to_pylist()


@pytest.mark.parametrize("word", ["NULL", "null", "\\N", "nan", "None", "<NA>", " N/A ", ""])
def test_missing_words_are_no_ids(word):
    cast = cast_id(pa.array(["a", word]), IdForm(is_whole=False), DATASET.missing_words)
    assert cast.values.to_pylist() == ["a", None]
    assert not cast.bad.any()
    assert cast.words.tolist() == [False, bool(word)]


def test_a_column_of_two_roles_has_one_meaning(tmp_path):
    table = as_strings(orders())
    ids = pa.array([f"{int(id_)}.0" for id_ in table["customer_id"].to_pylist()])
    settings = DATASET.changed(categorical=("product", "customer_id"))
    of_text = SequenceStore.build(table.set_column(1, "customer_id", ids), settings, tmp_path / "text")
    whole = pa.array([int(float(id_)) for id_ in ids.to_pylist()])
    of_numbers = SequenceStore.build(
        table.set_column(1, "customer_id", whole), settings, tmp_path / "numbers"
    )
    assert of_text.preprocessing == of_numbers.preprocessing


def wide(change) -> pd.DataFrame:
    rows = pd.read_parquet(CASES / "wide.parquet")
    for key in ("cid", "ccid"):
        name = f"num_objectId_by_{key}"
        rows[name] = [
            "~".join(change(id_, row) for id_ in ids.split("~")) if ids else ""
            for row, ids in enumerate(rows[name])
        ]
    return rows


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda id_, row: f"{id_}.0", r"'0+\d+' and '0+\d+\.0'"),
        (lambda id_, row: id_.lstrip("0") or "0", r"'0+\d+' and '\d+'"),
        (lambda id_, row: f" {id_}" if row % 7 == 0 else id_, r"'0+\d+' and ' 0+\d+'"),
        (lambda id_, row: f"A-{id_}", r"match for 0 of .*'0+\d+' and 'A-0+\d+'"),
        (lambda id_, row: f"A-{id_}" if row > 1_300 else id_, r"for none, e.g. '0+\d+' and 'A-0+\d+'"),
    ],
)
def test_wide_histories_whose_sides_do_not_match_are_refused(change, shown, tmp_path):
    dataset = RunConfig.load(CASES / "wide.yaml").dataset
    with pytest.raises(BadEvents, match=rf"cat_objectId_by_cid and num_objectId_by_cid .*{shown}"):
        SequenceStore.build(wide(change), dataset, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_wide_ids_are_the_same_from_text_and_numbers(tmp_path):
    dataset = RunConfig.load(CASES / "wide.yaml").dataset
    rows = pd.read_parquet(CASES / "wide.parquet")
    rows["order_id"] = rows["order_id"].astype(int)
    typed = SequenceStore.build(rows, dataset, tmp_path / "typed")
    rows["order_id"] = rows["order_id"].astype(str) + ".0"
    rows["orderDate"] = pd.to_datetime(rows["orderDate"].astype(int), unit="s", utc=True)
    assert SequenceStore.build(rows, dataset, tmp_path / "text").digest == typed.digest


def test_a_wide_history_that_is_a_word_for_nothing_is_empty(tmp_path):
    dataset = RunConfig.load(CASES / "wide.yaml").dataset
    rows = pd.read_parquet(CASES / "wide.parquet")
    expected = SequenceStore.build(rows, dataset, tmp_path / "plain")
    written = rows.replace({name: {"": "NULL"} for name in rows.columns if "objectId_by" in name})
    assert SequenceStore.build(written, dataset, tmp_path / "words").digest == expected.digest


def test_of_exact_duplicates_of_wide_rows_one_is_kept(tmp_path):
    dataset = RunConfig.load(CASES / "wide.yaml").dataset
    rows = pd.read_parquet(CASES / "wide.parquet")
    expected = SequenceStore.build(rows, dataset, tmp_path / "plain")
    doubled = pd.concat([rows, rows.iloc[100:120]])
    assert SequenceStore.build(doubled, dataset, tmp_path / "doubled").digest == expected.digest
    doubled.iloc[-1, doubled.columns.get_loc("amount")] = "1"
    with pytest.raises(BadEvents, match=r"more than one row has this order id: 2 rows, e.g. '000119'"):
        SequenceStore.build(doubled, dataset, tmp_path / "conflict")
