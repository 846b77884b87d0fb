"""Random event logs: the store's batches equal a plain loop's, and the future never reaches back."""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.event_oracle import (
    DAY_S,
    START_S,
    description,
    expected_batch,
    fit_scaling,
    lag_value,
    scaled,
    window_value,
)

from tsa_model.sequences import SequenceStore

SLOW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WINDOWS = [
    {"name": "n", "key": "customer", "statistic": "count", "days": [1, 3]},
    {"name": "avg", "key": "customer", "statistic": "mean", "column": "amount", "days": [2]},
    {"name": "rel", "key": "card", "statistic": "ratio", "column": "items", "days": [2.5]},
    {"name": "risk", "key": "card", "statistic": "label_rate", "days": [3]},
    {"name": "known", "key": "customer", "statistic": "label_count", "days": [1]},
    {"name": "off", "key": "card", "statistic": "difference", "column": "items", "days": [2.5]},
    {"name": "lost", "key": "card", "statistic": "fraud_mean", "column": "items", "days": [2.5]},
    {"name": "stolen", "key": "customer", "statistic": "fraud_mean", "column": "amount", "days": [4]},
]
LAGS = [
    {"name": "gap", "key": "customer", "statistic": "gap", "back": [1, 3], "log": True},
    {"name": "card_gap", "key": "card", "statistic": "gap"},
    {"name": "last", "key": "customer", "statistic": "value", "column": "items", "back": [2]},
    {"name": "more", "key": "card", "statistic": "difference", "column": "amount"},
    {"name": "times", "key": "customer", "statistic": "ratio", "column": "amount", "back": [1, 2]},
    {"name": "same_shop", "key": "card", "statistic": "same", "column": "shop"},
    {"name": "seen", "key": "customer", "statistic": "position", "log": True},
]


# To make a strategy takes longer than to draw from it: none is made for every event.
SECONDS, FRAUDS = st.sampled_from([0, 0, 1]), st.sampled_from([None, 0, 0, 1])
SHOPS, COUNTRIES = st.sampled_from(["a", "b", "c", "rare", None]), st.sampled_from(["DE", "FR"])


@st.composite
def event_logs(draw):
    """Few keys, few distinct times: ties, single events, long histories, missing cards, unknown values."""
    n = draw(st.one_of(st.integers(2, 30), st.integers(60, 130)))
    n_keys = draw(st.integers(1, 4))
    moments = st.integers(0, draw(st.sampled_from([8, 40, 16 * 24])))
    text_ids = draw(st.booleans())
    ids = draw(st.permutations(range(n)))
    keys, value = st.integers(0, n_keys), st.integers(-40, 400).map(lambda eighths: eighths / 8)
    cards, items = st.one_of(st.none(), keys), st.one_of(st.none(), value)
    events = []
    for place in range(n):
        hour = draw(moments) * (16 * 24 // 8 if n < 10 else 1)
        events.append(
            {
                "id": f"o{ids[place]}" if text_ids else ids[place],
                "who": draw(keys),
                "card": draw(cards),
                "when": START_S + hour % (16 * 24) * 3600 + draw(SECONDS),
                "fraud": draw(FRAUDS),
                "shop": draw(SHOPS),
                "country": draw(COUNTRIES),
                "amount": draw(value),
                "items": draw(items),
            }
        )
    events[0]["when"] = START_S  # something to fit on
    return events


def as_table(events):
    table = pa.Table.from_pylist(events)
    types = {"card": pa.int64(), "fraud": pa.int64(), "items": pa.float64(), "shop": pa.string()}
    for name, type_ in types.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(type_))
    return table


def assert_same(batch, expected):
    assert set(batch) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(batch[name].numpy(), array, err_msg=name)


@SLOW
@given(events=event_logs(), seq_len=st.sampled_from([1, 3, 51]), delay=st.sampled_from([0, 1, 2.5]))
def test_batches_equal_a_loop_over_all_events(tmp_path, events, seq_len, delay):
    settings = description(seq_len=seq_len, label_delay_days=delay, known_label=True)
    store = SequenceStore.build(as_table(events), settings, tmp_path / "store")
    ids = [event["id"] for event in events]
    assert_same(store.batch(ids), expected_batch(events, ids, settings))


@SLOW
@given(events=event_logs(), delay=st.sampled_from([0, 1.5]))
def test_windows_equal_a_loop_over_all_events(tmp_path, events, delay):
    names = ["n_1d", "n_3d", "avg_2d", "rel_2.5d", "risk_3d", "known_1d", "off_2.5d"]
    names += ["lost_2.5d", "stolen_4d"]
    settings = description(engineered=names, windows=WINDOWS, label_delay_days=delay)
    store = SequenceStore.build(as_table(events), settings, tmp_path / "store")
    columns = [
        [window_value(events, e, "who", "count", 1) for e in events],
        [window_value(events, e, "who", "count", 3) for e in events],
        [window_value(events, e, "who", "mean", 2, "amount") for e in events],
        [window_value(events, e, "card", "ratio", 2.5, "items") for e in events],
        [window_value(events, e, "card", "label_rate", 3, delay_days=delay) for e in events],
        [window_value(events, e, "who", "label_count", 1, delay_days=delay) for e in events],
        [window_value(events, e, "card", "difference", 2.5, "items") for e in events],
        [window_value(events, e, "card", "fraud_mean", 2.5, "items", delay) for e in events],
        [window_value(events, e, "who", "fraud_mean", 4, "amount", delay) for e in events],
    ]
    assert_engineered(store, events, names, columns)


@SLOW
@given(events=event_logs())
def test_lags_and_logs_equal_a_loop_over_all_events(tmp_path, events):
    names = ["gap_1", "gap_3", "card_gap_1", "last_2", "more_1", "times_1", "times_2", "same_shop_1", "seen"]
    settings = description(engineered=[*names, "log_amount"], lags=LAGS, logs=["amount"])
    store = SequenceStore.build(as_table(events), settings, tmp_path / "store")
    columns = [
        [lag_value(events, e, "who", "gap", 1, log=True) for e in events],
        [lag_value(events, e, "who", "gap", 3, log=True) for e in events],
        [lag_value(events, e, "card", "gap") for e in events],
        [lag_value(events, e, "who", "value", 2, "items") for e in events],
        [lag_value(events, e, "card", "difference", 1, "amount") for e in events],
        [lag_value(events, e, "who", "ratio", 1, "amount") for e in events],
        [lag_value(events, e, "who", "ratio", 2, "amount") for e in events],
        [lag_value(events, e, "card", "same", 1, "shop") for e in events],
        [lag_value(events, e, "who", "position", log=True) for e in events],
        [math.copysign(math.log1p(abs(e["amount"])), e["amount"]) for e in events],
    ]
    assert_engineered(store, events, [*names, "log_amount"], columns, rtol=1e-6, atol=1e-7)


def assert_engineered(store, events, names, columns, rtol=0.0, atol=0.0):
    """The store's engineered features are these columns, scaled as the training period says."""
    ids = [event["id"] for event in events]
    training = [event["when"] < START_S + 4 * DAY_S for event in events]
    got = store.batch(ids)["x_engineered"].numpy()
    for place, values in enumerate(columns):
        scaling = fit_scaling([v for v, inside in zip(values, training, strict=True) if inside])
        expected = [scaled(v, scaling) for v in values]
        np.testing.assert_allclose(
            got[:, place], np.array(expected), rtol=rtol, atol=atol, err_msg=names[place]
        )


@SLOW
@given(events=event_logs(), choice=st.randoms(use_true_random=False))
def test_nothing_at_or_after_the_moment_of_a_target_matters(tmp_path, events, choice):
    names = ["n_1d", "avg_2d", "rel_2.5d", "risk_3d", "known_1d", "lost_2.5d"]
    lags = ["gap_1", "last_2", "more_1", "times_2", "same_shop_1", "seen"]
    settings = description(
        engineered=names,
        numerical=["amount", "items", *lags],
        windows=WINDOWS,
        lags=LAGS,
        label_delay_days=1,
        known_label=True,
    )
    store = SequenceStore.build(as_table(events), settings, tmp_path / "store")
    target = choice.choice(events)
    before = store.batch([target["id"]])

    changed = [perturb(event, target, choice) for event in events]
    changed = [event for event in changed if event is not None]
    again = SequenceStore.build(
        as_table(changed), settings, tmp_path / "again", preprocessing=store.directory / "preprocessing.json"
    )
    assert_same(again.batch([target["id"]]), {name: tensor.numpy() for name, tensor in before.items()})


@pytest.mark.parametrize("delay", [0, 2])
def test_the_own_label_of_a_target_is_never_an_input(tmp_path, delay):
    events = many_events(200)
    names = ["risk_3d", "lost_2.5d", "stolen_4d"]
    settings = description(engineered=names, windows=WINDOWS, label_delay_days=delay, known_label=True)
    one = SequenceStore.build(as_table(events), settings, tmp_path / "one")
    turned = [event | {"fraud": 1 - event["fraud"]} if event["id"] == 77 else event for event in events]
    two = SequenceStore.build(as_table(turned), settings, tmp_path / "two")
    before, after = one.batch([77]), two.batch([77])
    assert before.pop("label") != after.pop("label")
    assert_same(before, {name: tensor.numpy() for name, tensor in after.items()})
    known = one.preprocessing.categorical["known_label"]
    assert (before["x_seq_cat_cid"][0, :-1, -1] != known.unknown).any()
    assert before["x_seq_cat_cid"][0, -1, -1] == known.unknown


def perturb(event, target, choice: random.Random):
    """Change or drop an event that is not earlier than the target; move it, but not before the target."""
    if event is target or event["when"] < target["when"]:
        return event
    if choice.random() < 0.3:
        return None
    return event | {
        "when": event["when"] + choice.choice([0, 7, DAY_S]),
        "who": choice.choice([event["who"], target["who"]]),
        "card": choice.choice([None, event["card"], target["card"]]),
        "fraud": choice.choice([None, 0, 1]),
        "shop": choice.choice(["a", "new", None]),
        "amount": choice.choice([1e15, 0.1, -3.0]),
        "items": choice.choice([None, 1e-9, 5.0]),
    }


def test_the_order_of_the_input_changes_no_byte(tmp_path):
    table = as_table([e | {"id": f"o{e['id']}"} for e in many_events()])
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for name, events in {"one": table, "two": shuffled, "three": shuffled.to_pandas()}.items():
        SequenceStore.build(events, description(), tmp_path / name)
    digests = {name: SequenceStore.open(tmp_path / name).digest for name in ("one", "two", "three")}
    assert len(set(digests.values())) == 1, digests


def many_events(n=3_000):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "id": rng.permutation(n),
            "who": rng.integers(0, 40, n),
            "card": rng.integers(0, 60, n),
            "when": START_S + rng.integers(0, 16 * DAY_S // 60, n) * 60,
            "fraud": rng.integers(0, 2, n),
            "shop": rng.choice(["a", "b", "c"], n),
            "country": rng.choice(["DE", "FR"], n),
            "amount": rng.lognormal(3, 1, n),
            "items": rng.integers(1, 5, n) / 1.0,
        }
    )
    return frame.to_dict("records")


@pytest.mark.parametrize("chunk", [1, 50])
def test_lags_do_not_depend_on_how_the_orders_are_cut_into_chunks(tmp_path, monkeypatch, chunk):
    settings = description(engineered=["gap_1", "times_2", "same_shop_1"], lags=LAGS)
    events = as_table(many_events(400))
    whole = SequenceStore.build(events, settings, tmp_path / "whole")
    monkeypatch.setattr("tsa_model.sequences.features.derived.CHUNK", chunk)
    assert SequenceStore.build(events, settings, tmp_path / "cut").digest == whole.digest


@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_windows_do_not_depend_on_how_the_orders_are_cut_into_chunks(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("tsa_model.sequences.features.derived.CHUNK", chunk)
    settings = description(engineered=["n_1d", "avg_2d"], windows=WINDOWS)
    events = many_events(400)
    store = SequenceStore.build(as_table(events), settings, tmp_path / "store")
    counts = [window_value(events, e, "who", "count", 1) for e in events]
    means = [window_value(events, e, "who", "mean", 2, "amount") for e in events]
    one, two = (store.preprocessing.engineered[name] for name in ("n_1d", "avg_2d"))
    got = store.batch([e["id"] for e in events])["x_engineered"].numpy()
    np.testing.assert_array_equal(got[:, 0], np.float32(np.array(counts) * one.scale + one.min))
    np.testing.assert_allclose(got[:, 1], np.array(means) * two.scale + two.min, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("folded", [False, True])
def test_texts_that_differ_in_spelling_are_one_category_and_one_key_where_asked(tmp_path, folded):
    spellings = {"a": "a", " A": "a", "b  c": "b c", "B-c": "b c", "b_C ": "b c", "-1": "-1"}
    events = [
        event | {"shop": text, "who": 1, "card": f"Card {text}"}
        for event, text in zip(many_events(120), [*spellings] * 20, strict=True)
    ]
    clean = [
        event | {"shop": spellings[event["shop"]], "card": f"card {spellings[event['shop']]}"}
        for event in events
    ]
    lags = [{"name": "same", "key": "customer", "statistic": "same", "column": "shop"}]
    asked = {"fold_text": folded, "fold_keys": ["card"] if folded else []}
    settings = description(engineered=["same_1"], lags=lags)
    one = SequenceStore.build(pa.Table.from_pylist(events), settings | asked, tmp_path / "one")
    two = SequenceStore.build(pa.Table.from_pylist(clean), settings, tmp_path / "two")
    ids = [event["id"] for event in events]
    expected = {name: tensor.numpy() for name, tensor in two.batch(ids).items()}
    if folded:
        assert_same(one.batch(ids), expected)
    else:
        with pytest.raises(AssertionError):
            assert_same(one.batch(ids), expected)
