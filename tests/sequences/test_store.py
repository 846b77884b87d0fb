"""What a store promises beyond its batches: files of any kind, splits, sampling, fitting, reuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.event_oracle import START_S, description
from support.mixed_orders import frame

from tsa_model.sequences import SequenceStore, build_sequences


def same_batches(one, two, ids):
    for name, tensor in one.batch(ids).items():
        assert torch.equal(tensor, two.batch(ids)[name]), name


def test_every_kind_of_file_gives_the_same_bytes(tmp_path):
    data = frame()
    data.loc[5, ["card", "fraud"]] = pd.NA
    (tmp_path / "parts").mkdir()
    (tmp_path / "csvs").mkdir()
    data.to_parquet(tmp_path / "events.parquet")
    data.head(300).to_parquet(tmp_path / "parts" / "b.parquet", row_group_size=50)
    data.tail(500).to_parquet(tmp_path / "parts" / "a.parquet")
    (tmp_path / "parts" / "_SUCCESS").touch()
    data.to_csv(tmp_path / "events.csv", index=False)
    data.to_csv(tmp_path / "events.csv.gz", index=False)
    data.head(100).to_csv(tmp_path / "csvs" / "1.csv", index=False)
    data.tail(700).to_csv(tmp_path / "csvs" / "2.csv.gz", index=False)
    sources = {
        "parquet": tmp_path / "events.parquet",
        "folder": tmp_path / "parts",
        "csv": str(tmp_path / "events.csv"),
        "gz": tmp_path / "events.csv.gz",
        "csvs": [tmp_path / "csvs" / "1.csv", tmp_path / "csvs" / "2.csv.gz"],
        "pandas": data,
        "arrow": pa.Table.from_pandas(data),
    }
    digests = {
        name: SequenceStore.build(events, description(), tmp_path / f"store_{name}").digest
        for name, events in sources.items()
    }
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_are_understood_in_every_usual_form(tmp_path, unit):
    data = frame(100)
    stamps = pd.to_datetime(data["when"], unit="s")
    forms = [
        data["when"],
        data["when"].astype(float),
        stamps.astype(f"datetime64[{unit}]"),
        stamps.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        stamps.dt.strftime("%Y-%m-%d %H:%M:%S"),
        stamps.dt.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    ]
    stores = [
        SequenceStore.build(data.assign(when=form), description(), tmp_path / str(i))
        for i, form in enumerate(forms)
    ]
    assert len({store.digest for store in stores}) == 1


def test_fractions_of_a_second_order_events(tmp_path):
    data = frame(3).assign(id=[3, 2, 1], who=1, when=[START_S + 0.25, START_S + 0.5, START_S + 0.5])
    store = SequenceStore.build(data, description(), tmp_path / "store")
    batch = store.batch([2])
    assert batch["time_seq_cid"][0, -2:, 0].tolist() == [0.25, 0.0]
    as_text = SequenceStore.build(data.assign(when=data["when"].map(repr)), description(), tmp_path / "text")
    assert as_text.digest == store.digest


def test_text_order_ids_are_ordered_as_text_and_numbers_as_numbers(tmp_path):
    data = frame(3).assign(who=1, when=[START_S, START_S, START_S + 9], amount=[1.0, 2.0, 3.0])
    number = SequenceStore.build(data.assign(id=[9, 10, 11]), description(), tmp_path / "number")
    text = SequenceStore.build(data.assign(id=["é9", "é10", "é11"]), description(), tmp_path / "text")
    assert number.batch([11])["x_seq_num_cid"][0, -3:, 0].tolist() == [0.0, 0.5, 1.0]
    assert text.batch(["é11"])["x_seq_num_cid"][0, -3:, 0].tolist() == [0.5, 0.0, 1.0]
    assert text.ids_of(np.arange(3)).tolist() == ["é10", "é9", "é11"]


def test_the_index_space_is_shared_and_numbers_come_last(tmp_path):
    data = frame().assign(shop=["a", "b"] * 399 + ["once", "b"], when=START_S)
    store = SequenceStore.build(data, description(known_label=True, min_count=2), tmp_path / "store")
    fitted = store.preprocessing
    indices = []
    for vocabulary in fitted.categorical.values():
        indices += sorted({vocabulary.unknown, *vocabulary.values.values()})
    assert indices == list(range(1, len(indices) + 1))
    assert store.n_embedding == len(indices) + store.n_num_features
    assert "once" not in fitted.categorical["shop"].values
    assert (store.n_cat_features, store.n_num_features, store.n_engineered) == (3, 2, 1)
    unknown = fitted.categorical["shop"].unknown
    assert store.batch([data["id"].iloc[-2]])["x_seq_cat_cid"][0, -1, 0] == unknown


def test_numbers_and_truth_values_are_categories_too(tmp_path):
    data = frame().assign(when=START_S)
    expected = SequenceStore.build(data.assign(shop=["3", "1"] * 400), description(), tmp_path / "text")
    for name, values in {"int": [3, 1] * 400, "float": [3.0, 1.0] * 400}.items():
        store = SequenceStore.build(data.assign(shop=values), description(), tmp_path / name)
        assert store.digest == expected.digest, name
    spelled = data.assign(shop=["3.0", "1"] * 400)
    store = SequenceStore.build(spelled, description(numeric_categorical=["shop"]), tmp_path / "spelled")
    assert store.preprocessing == expected.preprocessing
    truth = SequenceStore.build(data.assign(shop=[True, False] * 400), description(), tmp_path / "truth")
    assert set(truth.preprocessing.categorical["shop"].values) == {"true", "false"}


def test_a_quantile_may_take_the_place_of_the_largest_number(tmp_path):
    data = frame().assign(when=START_S, items=(np.arange(800) % 100 == 0).astype(float))
    store = SequenceStore.build(data, description(scale_quantile=0.9), tmp_path / "store")
    amount = data["amount"].to_numpy()
    fitted = store.preprocessing.numerical["amount"]
    assert fitted.apply(np.array([amount.min(), np.quantile(amount, 0.9)])) == pytest.approx([0, 1])
    assert fitted.apply(np.array([amount.max()])) > 1
    mostly_zeros = store.preprocessing.numerical["items"]
    assert mostly_zeros.apply(np.array([0.0, 1.0])) == pytest.approx([0, 1])


def test_a_data_set_may_have_one_key_and_a_dual_one_gives_single_batches(tmp_path):
    data = frame()
    dual = SequenceStore.build(data, description(), tmp_path / "dual")
    single = SequenceStore.build(data.drop(columns="card"), description(card_id=None), tmp_path / "single")
    ids = data["id"].tolist()
    names = {"x_cat", "x_num", "time_seq", "key_padding_mask", "x_engineered", "label"}
    assert set(single.batch(ids)) == names
    for name, tensor in dual.batch(ids, sequences="single").items():
        assert torch.equal(tensor, single.batch(ids)[name])
        if name.startswith(("x_c", "x_n", "time", "key")):
            dual_name = {"x_cat": "x_seq_cat", "x_num": "x_seq_num"}.get(name, name) + "_cid"
            assert torch.equal(tensor, dual.batch(ids)[dual_name])
    with pytest.raises(ValueError, match="no dual batch"):
        single.batch(ids, sequences="dual")


def test_without_engineered_features_the_batch_has_none(tmp_path):
    store = SequenceStore.build(frame(), description(engineered=[]), tmp_path / "store")
    assert store.n_engineered == 0
    assert "x_engineered" not in store.batch_rows(store.targets("test"))


def test_batches_have_the_promised_types_and_the_order_asked_for(tmp_path):
    store = SequenceStore.build(frame(), description(), tmp_path / "store")
    rows = store.targets("test")[::-1]
    batch = store.batch_rows(rows)
    n = len(rows)
    expected = {"label": (torch.int64, (n,)), "x_engineered": (torch.float32, (n, 1))}
    for key in ("cid", "ccid"):
        expected |= {
            f"x_seq_cat_{key}": (torch.int64, (n, 51, 2)),
            f"x_seq_num_{key}": (torch.float32, (n, 51, 2)),
            f"time_seq_{key}": (torch.float32, (n, 51, 1)),
            f"key_padding_mask_{key}": (torch.bool, (n, 52)),
        }
    assert {name: (t.dtype, tuple(t.shape)) for name, t in batch.items()} == expected
    for name, tensor in store.batch(store.order_ids("test")).items():
        assert torch.equal(tensor.flip(0), batch[name])


def test_a_batch_of_no_orders_has_no_rows(tmp_path):
    store = SequenceStore.build(frame(60), description(known_label=True), tmp_path / "store")
    some, none = store.batch(store.order_ids("train")[:2]), store.batch([])
    assert {name: (t.dtype, (0, *t.shape[1:])) for name, t in some.items()} == {
        name: (t.dtype, tuple(t.shape)) for name, t in none.items()
    }


def test_an_order_without_card_has_only_itself_in_the_card_sequence(tmp_path):
    data = frame()
    data["card"] = pd.NA
    store = SequenceStore.build(data, description(), tmp_path / "store")
    batch = store.batch(data["id"].tolist())
    assert (batch["key_padding_mask_ccid"].sum(dim=1) == 50).all()
    assert not batch["key_padding_mask_ccid"][:, 50:].any()


def test_vocabularies_beyond_16_bits_are_kept_whole(tmp_path):
    n = 33_000
    data = frame(2 * n).assign(when=START_S, shop=[f"s{i % n}" for i in range(2 * n)])
    store = SequenceStore.build(data, description(), tmp_path / "store")
    assert store.n_embedding > 2**15
    values = store.preprocessing.categorical["shop"].values
    got = store.batch(data["id"].tolist()[-500:])["x_seq_cat_cid"][:, -1, 0].tolist()
    assert got == [values[shop] for shop in data["shop"].tolist()[-500:]]
    assert max(values.values()) == n + 1


def test_time_is_capped_order_by_order(tmp_path):
    data = frame(3).assign(id=[1, 2, 3], who=1, when=[START_S - 20_000_000, START_S - 5, START_S])
    batch = SequenceStore.build(data, description(), tmp_path / "store").batch([3])
    assert batch["time_seq_cid"][0, -3:, 0].tolist() == [1e7, 5.0, 0.0]


def test_the_stage_reports_counts(tmp_path):
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pandas(frame()), path)
    run = {"dataset": description(target_positive_rate=0.5)}
    from tsa_model.settings.run import RunConfig

    metrics = build_sequences(path, RunConfig.load(run), tmp_path / "store")
    store = SequenceStore.open(tmp_path / "store")
    assert metrics["orders"] == 800
    assert metrics["store_digest"] == store.digest
    assert metrics["train_targets"] == len(store.targets("train"))
    total = sum(len(store.targets(period)) for period in ("train", "vali", "cali", "test"))
    assert metrics["key_figure"] == f"800 orders, {total} targets"
