"""Which orders a period holds, which genuine ones are kept, and what is fitted where."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.event_oracle import DAY_S, START_S, description
from support.mixed_orders import frame

from tsa_model.sequences import SequenceStore


def test_splits_take_labelled_orders_whose_label_is_known_in_time(tmp_path):
    data = frame()
    data.loc[::7, "fraud"] = pd.NA
    data.loc[1::7, "fraud"] = -1
    store = SequenceStore.build(data, description(label_delay_days=4), tmp_path / "store")
    labelled = data[data["fraud"].isin([0, 1]).fillna(False)]
    day = (labelled["when"] - START_S) / DAY_S
    windows = {"train": (0, 4), "vali": (4, 7), "cali": (7, 9), "test": (13, 16)}  # cali ends on day 10 …
    for period, (first, last) in windows.items():
        inside = (day >= first) & ((day <= last) if period == "cali" else (day < last))
        assert set(store.order_ids(period)) == set(labelled["id"][inside]), period  # … known on day 13
        times = store.order_times(period)
        assert (np.diff(times) >= np.timedelta64(0)).all()
        by_id = labelled.set_index("id").loc[store.order_ids(period)]
        np.testing.assert_array_equal(store.labels(period), by_id["fraud"].to_numpy(int))
        np.testing.assert_array_equal(times.astype(np.int64) // 10**6, by_id["when"])
    assert store.batch([data["id"][0]])["label"].item() == -1
    with pytest.raises(ValueError, match="'tests' is not one of train, vali, cali, test"):
        store.targets("tests")
    with pytest.raises(ValueError, match="order id 123456 is not in"):
        store.batch([data["id"][0], 123456])
    with pytest.raises(ValueError, match=r"order id 7\.5 is not in"):
        store.batch([7.5])


def test_training_negatives_are_downsampled_and_the_prior_kept(tmp_path):
    data = frame()
    every = SequenceStore.build(data, description(), tmp_path / "all")
    store = SequenceStore.build(data, description(target_positive_rate=0.5), tmp_path / "half")
    again = SequenceStore.build(data, description(target_positive_rate=0.5), tmp_path / "again")
    other = SequenceStore.build(
        data, description(target_positive_rate=0.5, sampling_seed=1), tmp_path / "other"
    )
    assert store.prior == every.prior == every.sampled_prior == pytest.approx(every.labels("train").mean())
    assert store.sampled_prior == pytest.approx(0.5, abs=0.01) == store.labels("train").mean()
    assert set(store.order_ids("train")) < set(every.order_ids("train"))
    assert (np.diff(store.targets("train")) > 0).all()
    assert store.digest == again.digest
    assert not np.array_equal(store.targets("train"), other.targets("train"))
    for period in ("vali", "cali", "test"):
        np.testing.assert_array_equal(store.targets(period), every.targets(period))
    frequent = SequenceStore.build(data, description(target_positive_rate=0.01), tmp_path / "rare")
    np.testing.assert_array_equal(frequent.targets("train"), every.targets("train"))


def test_a_rate_below_the_prior_keeps_every_negative(tmp_path):
    data = frame().assign(fraud=0)
    store = SequenceStore.build(data, description(target_positive_rate=0.2), tmp_path / "store")
    assert store.prior == store.sampled_prior == 0
    assert len(store.targets("train")) == ((data["when"] - START_S) < 4 * DAY_S).sum()


def test_fitting_looks_at_the_training_window_only(tmp_path):
    data = frame()
    later = data["when"] >= START_S + 4 * DAY_S
    changed = data.copy()
    changed.loc[later, "shop"] = "new"
    changed.loc[later, "amount"] = 1e6
    one = SequenceStore.build(data, description(), tmp_path / "one")
    two = SequenceStore.build(changed, description(), tmp_path / "two")
    assert one.preprocessing == two.preprocessing
    assert (two.directory / "preprocessing.json").read_bytes() == (
        one.directory / "preprocessing.json"
    ).read_bytes()


def test_a_later_period_reuses_what_was_fitted(tmp_path):
    data = frame()
    store = SequenceStore.build(data, description(), tmp_path / "store")
    without_training = data[data["when"] >= START_S + 4 * DAY_S]
    later = SequenceStore.build(
        without_training,
        description(),
        tmp_path / "later",
        preprocessing=store.directory / "preprocessing.json",
    )
    assert later.preprocessing == store.preprocessing
    with pytest.raises(ValueError, match="numerical features"):
        SequenceStore.build(
            data.drop(columns="items"),
            description(numerical=["amount"], may_be_missing=[]),
            tmp_path / "x",
            preprocessing=store.preprocessing,
        )
    fitted = json.loads((store.directory / "preprocessing.json").read_text())
    fitted["categorical"]["shop"]["values"]["a"] = 99
    with pytest.raises(ValueError, match="vocabulary overflow: index 99"):
        SequenceStore.build(data, description(), tmp_path / "x", preprocessing=fitted)
