"""Wide rows: the golden arrays exactly, the same store as from an event log, bad rows by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.event_oracle import START_S, description

from tsa_model.sequences import BadEvents, Preprocessing, SequenceStore, parse_wide_rows

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    rows = [json.loads(line) for line in (GOLDEN / "wide_rows.jsonl").read_text().splitlines()]
    arrays = np.load(GOLDEN / "wide_rows.npz", allow_pickle=False)
    return rows, json.loads(str(arrays["meta"])), arrays


def assert_golden(parsed, arrays, rows=slice(None)):
    for name, got in parsed.items():
        assert got.dtype == arrays[name].dtype
        np.testing.assert_array_equal(got, arrays[name][rows], err_msg=name)


def test_golden_rows_are_parsed_exactly(golden):
    rows, meta, arrays = golden
    parsed = parse_wide_rows(rows, meta)
    assert set(parsed) == {"cid_cat", "cid_num", "ccid_cat", "ccid_num"}
    assert_golden(parsed, arrays)


@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_tables_are_parsed_as_dictionaries_are(golden, form):
    rows, meta, arrays = golden
    table = pa.Table.from_pylist(rows)
    assert_golden(parse_wide_rows(table if form == "arrow" else table.to_pandas(), meta), arrays)


def test_rows_do_not_depend_on_their_block(golden, monkeypatch):
    rows, meta, arrays = golden
    monkeypatch.setattr("tsa_model.sequences.wide_rows.BLOCK_ROWS", 7)
    assert_golden(parse_wide_rows(rows, meta), arrays)
    assert_golden(parse_wide_rows(rows[5:6], meta), arrays, slice(5, 6))
    assert parse_wide_rows([], meta)["cid_cat"].shape == (0, 51, 40)


def test_of_a_longer_history_the_latest_orders_are_kept(golden):
    rows, meta, _ = golden
    row = next(r for r in rows if r["cat_objectId_by_cid"].count("~") == 49)
    longer = dict(row)
    for name, text in row.items():
        if name.endswith("_by_cid"):
            longer[name] = f"{text.split('~')[0]}~{text}"
    for kind in ("cat", "num"):
        longer[f"{kind}_objectId_by_cid"] = f"first~{row[f'{kind}_objectId_by_cid']}"
    for name, got in parse_wide_rows([longer], meta).items():
        np.testing.assert_array_equal(got, parse_wide_rows([row], meta)[name])


def test_without_order_ids_there_is_no_history_whatever_the_features_say(golden):
    rows, meta, _ = golden
    row = dict(rows[2], cat_objectId_by_cid="", num_objectId_by_cid="My Text String")
    assert parse_wide_rows([row], meta)["cid_num"][0, :, -1].sum() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_3_by_cid": "1~x~3~4"}, r"column num_3_by_cid: not a finite number .* \(order T0001\)"),
        ({"num_3": "many"}, r"column num_3: not a finite number .*'many'"),
        ({"num_3_by_cid": "1~2"}, r"column num_3_by_cid: not as many values as num_objectId_by_cid"),
        ({"cat_7_by_cid": "v0"}, r"column cat_7_by_cid: not as many values as cat_objectId_by_cid"),
        ({"cat_0_by_cid": "0~one~2~3"}, r"column cat_0_by_cid: not a number"),
        ({"orderDate": "1693513363"}, r"column cat_orderDate_by_cid: later than the order itself"),
        ({"orderDate": "soon"}, r"column orderDate: not a moment"),
        ({"cat_objectId_by_cid": "~o1~o2~o3"}, r"column cat_objectId_by_cid: an order without id"),
        ({"order_id": "a~b"}, r"column order_id: a ~ in a single value .* \(order a~b\)"),
        ({"num_3": "1~2"}, r"column num_3: a ~ in a single value .*'1~2' \(order T0001\)"),
        ({"num_orderDate_by_cid": "1692721353~1693513362~1695360955"}, "not the dates of num_orderDate"),
    ],
)
def test_a_bad_row_is_named(golden, change, message):
    rows, meta, _ = golden
    bad = dict(rows[1])
    entries = bad["num_objectId_by_cid"].count("~") + 1
    change = {k: "~".join(v.split("~")[:entries]) if v.startswith("1~x") else v for k, v in change.items()}
    with pytest.raises(BadEvents, match=message):
        parse_wide_rows([rows[0], bad | change], meta)


def test_a_missing_column_is_named(golden):
    rows, meta, _ = golden
    with pytest.raises(BadEvents, match="column 'num_4_by_ccid' is missing"):
        parse_wide_rows([{k: v for k, v in rows[0].items() if k != "num_4_by_ccid"}], meta)


def legacy_description(meta):
    start = pd.Timestamp("2023-11-01", tz="UTC")
    split = {}
    for place, period in enumerate(("train", "vali", "cali", "test")):
        split[f"{period}_start"] = str(start + pd.Timedelta(days=10 * place))
        split[f"{period}_end"] = str(start + pd.Timedelta(days=10 * place + 10))
    return {
        "name": "legacy",
        "layout": "wide",
        "order_id": "order_id",
        "customer_id": "cid",
        "card_id": "ccid",
        "order_time": "orderDate",
        "label": "label",
        "categorical": meta["categorical"],
        "numerical": meta["numerical"],
        "engineered": meta["engineered"],
        "numeric_categorical": meta["numeric_categorical"],
        "float_categorical": [meta["float_categorical"]],
        "split": split,
    }


def test_a_store_of_golden_rows_gives_the_golden_batches(golden, tmp_path):
    rows, meta, arrays = golden
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows[::-1]), path)
    fitted = Preprocessing.from_legacy(meta)
    store = SequenceStore.build(path, legacy_description(meta), tmp_path / "store", fitted)
    batch = store.batch([row["order_id"] for row in rows])
    for key in ("cid", "ccid"):
        num = arrays[f"{key}_num"]
        np.testing.assert_array_equal(batch[f"x_seq_cat_{key}"].numpy(), arrays[f"{key}_cat"])
        np.testing.assert_array_equal(batch[f"x_seq_num_{key}"].numpy(), num[..., :-2].astype(np.float32))
        time_s = np.minimum(num[..., -2], 1e7).astype(np.float32)
        np.testing.assert_array_equal(batch[f"time_seq_{key}"][..., 0].numpy(), time_s)
        np.testing.assert_array_equal(~batch[f"key_padding_mask_{key}"][:, :-1].numpy(), num[..., -1] == 1)
    assert batch["label"].tolist() == [int(row["label"]) for row in rows]
    engineered = np.array([[float(row[name] or 0) for name in meta["engineered"]] for row in rows])
    np.testing.assert_array_equal(batch["x_engineered"].numpy(), engineered.astype(np.float32))


def test_the_legacy_cap_sets_a_whole_sequence(golden, tmp_path):
    rows, meta, arrays = golden
    settings = legacy_description(meta) | {"time_cap": "legacy"}
    store = SequenceStore.build(
        pa.Table.from_pylist(rows), settings, tmp_path / "store", Preprocessing.from_legacy(meta)
    )
    time_s = store.batch([row["order_id"] for row in rows])["time_seq_cid"][..., 0].numpy()
    exceeds = (arrays["cid_num"][..., -2] > 1e7).any(axis=1)
    assert exceeds.sum() == 1
    assert (time_s[exceeds] == 1e7).all()
    np.testing.assert_array_equal(time_s[~exceeds], arrays["cid_num"][~exceeds, :, -2].astype(np.float32))


def wide_from_events(events):
    """Wide rows of an event log, by a loop."""
    rows = []
    for target in events:
        row = {"id": f"{target['id']}", "when": str(target["when"]), "fraud": str(target["fraud"])}
        row |= {name: str(target[name]) for name in ("shop", "country", "amount", "items")}
        for suffix, key in (("who", "who"), ("card", "card")):
            past = sorted(
                (e for e in events if e[key] == target[key] and e["when"] < target["when"]),
                key=lambda e: (e["when"], str(e["id"])),
            )[-50:]
            for name in ("shop", "country", "amount", "items"):
                row[f"{name}_by_{suffix}"] = "~".join(str(e[name]) for e in past)
            for kind in ("cat", "num"):
                row[f"{kind}_objectId_by_{suffix}"] = "~".join(str(e["id"]) for e in past)
                row[f"{kind}_orderDate_by_{suffix}"] = "~".join(str(e["when"]) for e in past)
        rows.append(row)
    return rows


def test_both_layouts_give_the_same_batches(tmp_path):
    rng = np.random.default_rng(3)
    events = [
        {
            "id": f"o{i:03}",
            "who": int(rng.integers(3)),
            "card": int(rng.integers(5)),
            "when": START_S + int(rng.integers(0, 16 * 24)) * 3600,
            "fraud": int(rng.integers(2)),
            "shop": str(rng.choice(["a", "b", "c"])),
            "country": str(rng.choice(["DE", "FR", "IT"])),
            "amount": int(rng.integers(1000)) / 8,
            "items": float(rng.integers(1, 9)),
        }
        for i in range(220)
    ]
    log = SequenceStore.build(pd.DataFrame(events), description(), tmp_path / "log")
    rows = pd.DataFrame(wide_from_events(events))
    wide = SequenceStore.build(rows, description(layout="wide", customer_id="who"), tmp_path / "wide")
    assert wide.preprocessing == log.preprocessing
    for period in ("train", "vali", "cali", "test"):
        np.testing.assert_array_equal(wide.order_ids(period), log.order_ids(period))
    ids = [event["id"] for event in events]
    one, two = wide.batch(ids), log.batch(ids)
    for name in two:
        np.testing.assert_array_equal(one[name].numpy(), two[name].numpy(), err_msg=name)


def test_bad_wide_rows_can_be_set_aside(golden, tmp_path):
    rows, meta, _ = golden
    bad = [dict(row) for row in rows]
    bad[1]["num_3_by_cid"] = "1~2"
    bad[4]["label"] = "maybe"
    bad[7]["order_id"] = bad[8]["order_id"]
    bad[9]["order_id"] = ""
    settings = legacy_description(meta)
    fitted = Preprocessing.from_legacy(meta)
    with pytest.raises(BadEvents, match="5 of 40 rows cannot be used") as error:
        SequenceStore.build(pd.DataFrame(bad), settings, tmp_path / "store", fitted)
    assert "column label: not 0, 1, -1 or missing: 1 rows, e.g. 'maybe' (order T0004" in str(error.value)
    assert "column order_id: missing: 1 rows" in str(error.value)
    assert not any(tmp_path.iterdir())

    settings |= {"on_bad_rows": "quarantine", "max_bad_share": 0.2}
    store = SequenceStore.build(pd.DataFrame(bad), settings, tmp_path / "store", fitted)
    assert len(store) == 35
    assert store.manifest.quarantined == 5
    aside = pd.read_csv(store.directory / "quarantine.csv", dtype=str).fillna("")
    assert sorted(aside["order_id"]) == ["", "T0001", "T0004", "T0008", "T0008"]
    assert aside["_problem"].str.startswith("column ").all()
