"""Labels that say themselves since when they are known, instead of after a fixed delay."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.event_oracle import (
    DAY_S,
    START_S,
    description,
    expected_batch,
    fit_scaling,
    known_at,
    scaled,
    window_value,
)

from tsa_model.scoring.proof.own_lines import period_selection
from tsa_model.scoring.proof.plain_orders import batch_of
from tsa_model.scoring.proof.raw_orders import RawOrders
from tsa_model.scoring.proof.rebuilding import OwnKeys, rebuild
from tsa_model.sequences import BadEvents, SequenceStore
from tsa_model.settings.dataset import DatasetDescription

WINDOWS = [
    {"name": "risk", "key": "card", "statistic": "label_rate", "days": [3]},
    {"name": "known", "key": "customer", "statistic": "label_count", "days": [1, 4]},
    {"name": "stolen", "key": "card", "statistic": "fraud_mean", "column": "amount", "days": [3]},
]
NAMES = ["risk_3d", "known_1d", "known_4d", "stolen_3d"]
DELAY = 1.5


def settings(**changes):
    named = {"label_time": "told", "known_label": True, "label_delay_days": DELAY, "windows": WINDOWS}
    return description(**({"engineered": NAMES} | named | changes))


def events(n=300, seed=3):
    """Labels at once, some hours or many days later, or without a word about it; many moments coincide."""
    choose = random.Random(seed)
    found = []
    for number in range(n):
        when = START_S + choose.randrange(16 * 24) * 3600
        wait = choose.choice([None, 0, 0, 3600, DAY_S, 3 * DAY_S, choose.randrange(9 * DAY_S)])
        found.append(
            {
                "id": number,
                "who": choose.randrange(5),
                "card": choose.choice([None, 0, 1, 2]),
                "when": when,
                "fraud": choose.choice([None, 0, 0, 1]),
                "told": None if wait is None else when + wait,
                "shop": choose.choice(["a", "b", "c"]),
                "country": choose.choice(["DE", "FR"]),
                "amount": choose.randrange(400) / 8,
                "items": float(choose.randrange(5)),
            }
        )
    return found


def build(rows, content, folder, **words):
    return SequenceStore.build(pa.Table.from_pylist(rows), content, folder, **words)


def test_batches_equal_a_loop_over_all_events(tmp_path) -> None:
    rows = events()
    store = build(rows, settings(), tmp_path / "store")
    ids = [row["id"] for row in rows]
    content = settings() | {"engineered": []}
    batch, expected = store.batch(ids), expected_batch(rows, ids, content)
    for name in expected.keys() - {"x_engineered"}:
        np.testing.assert_array_equal(batch[name].numpy(), expected[name], err_msg=name)
    training = [row["when"] < START_S + 4 * DAY_S for row in rows]
    columns = [
        [window_value(rows, row, "card", "label_rate", 3, delay_days=DELAY) for row in rows],
        [window_value(rows, row, "who", "label_count", 1, delay_days=DELAY) for row in rows],
        [window_value(rows, row, "who", "label_count", 4, delay_days=DELAY) for row in rows],
        [window_value(rows, row, "card", "fraud_mean", 3, "amount", DELAY) for row in rows],
    ]
    for place, values in enumerate(columns):
        scaling = fit_scaling([v for v, inside in zip(values, training, strict=True) if inside])
        wanted = np.array([scaled(value, scaling) for value in values])
        np.testing.assert_array_equal(batch["x_engineered"][:, place].numpy(), wanted, err_msg=NAMES[place])


def test_moments_that_say_what_the_delay_says_change_no_feature(tmp_path) -> None:
    rows = [row | {"told": int(row["when"] + DELAY * DAY_S)} for row in events()]
    told = build(rows, settings(), tmp_path / "told")
    fixed = build(rows, settings(label_time=None), tmp_path / "fixed")
    nothing = build([row | {"told": None} for row in rows], settings(), tmp_path / "nothing")
    assert told.preprocessing == fixed.preprocessing
    for file in sorted(path.name for path in fixed.directory.iterdir() if path.suffix == ".npy"):
        assert (told.directory / file).read_bytes() == (fixed.directory / file).read_bytes(), file
        assert (nothing.directory / file).read_bytes() == (fixed.directory / file).read_bytes(), file
    more = {path.name for path in told.directory.iterdir()} - {p.name for p in fixed.directory.iterdir()}
    assert more == {"known_us.npy", "cid_known_us.npy", "ccid_known_us.npy"}


def test_a_description_without_it_says_nothing_of_it(tmp_path) -> None:
    content = DatasetDescription.model_validate(description())
    assert "label_time" not in content.model_dump()
    store = build(events(), description(), tmp_path / "store")
    assert "label_time" not in (store.directory / "manifest.json").read_text()


def test_a_model_learns_from_labels_that_are_known_when_it_is_made(tmp_path) -> None:
    rows = events()
    store = build(rows, settings(), tmp_path / "store")
    raw = RawOrders(pa.Table.from_pylist(rows), store.description)
    (lines,) = raw.lines()
    n_late = 0
    for period, (first, last) in {"train": (0, 4), "vali": (4, 7), "cali": (7, 10), "test": (13, 16)}.items():
        inside = [r for r in rows if first * DAY_S <= r["when"] - START_S < last * DAY_S]
        labelled = [r for r in inside if r["fraud"] is not None]
        known = [r for r in labelled if known_at(r, DELAY * DAY_S) <= START_S + 13 * DAY_S]
        wanted = labelled if period == "test" else known
        n_late += len(labelled) - len(wanted)
        assert set(store.order_ids(period).tolist()) == {r["id"] for r in wanted}, period
        chosen = lines.order_id.filter(pa.array(period_selection(store.description, period).of(lines)))
        assert set(chosen.to_pylist()) == {r["id"] for r in wanted}, period
    assert n_late > 3


def test_orders_rebuilt_one_by_one_have_the_tensors_of_the_store(tmp_path) -> None:
    rows = events(200)
    store = build(rows, settings(), tmp_path / "store")
    raw = RawOrders(pa.Table.from_pylist(rows), store.description)
    sample = rows[::3]
    keys = {name: pa.array([row[name] for row in sample], pa.int64()) for name in ("id", "who", "card")}
    rebuilt = rebuild(raw, OwnKeys(keys["id"], keys["who"], keys["card"]))
    plain = batch_of(rebuilt, store.preprocessing, store.description, "dual")
    batch = store.batch([row["id"] for row in sample])
    for name, tensor in plain.items():
        np.testing.assert_allclose(tensor.numpy(), batch[name].numpy(), rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("chunk", [1, 50])
def test_windows_do_not_depend_on_how_the_orders_are_cut_into_chunks(tmp_path, monkeypatch, chunk) -> None:
    whole = build(events(), settings(), tmp_path / "whole")
    monkeypatch.setattr("tsa_model.sequences.features.derived.CHUNK", chunk)
    assert build(events(), settings(), tmp_path / "cut").digest == whole.digest


def test_a_label_before_its_order_is_refused_or_set_aside(tmp_path) -> None:
    rows = events()
    rows[7]["told"] = rows[7]["when"] - 1
    with pytest.raises(BadEvents, match=rf"told.*before the order's own time.*1 rows.*order {rows[7]['id']}"):
        build(rows, settings(), tmp_path / "store")
    store = build(rows, settings(on_bad_rows="quarantine"), tmp_path / "store")
    assert (len(store), store.manifest.quarantined) == (len(rows) - 1, 1)


def test_rows_with_one_id_and_two_moments_contradict_each_other(tmp_path) -> None:
    rows = events()
    labelled = next(row for row in rows if row["told"] is not None)
    with pytest.raises(BadEvents, match="more than one row has this order id"):
        build([*rows, labelled | {"told": labelled["told"] + 1}], settings(), tmp_path / "store")
    assert len(build([*rows, labelled], settings(), tmp_path / "store")) == len(rows)


def test_forms_of_moments_give_the_same_bytes(tmp_path) -> None:
    frame = pd.DataFrame(events())
    whole = build(events(), settings(), tmp_path / "whole").digest
    frame["card"] = frame["card"].astype("Int64")
    frame["fraud"] = frame["fraud"].astype("Int64")
    written = frame.assign(told=pd.to_datetime(frame["told"], unit="s", utc=True))
    written.to_csv(tmp_path / "events.csv", index=False)
    written.to_parquet(tmp_path / "events.parquet")
    for name in ("events.csv", "events.parquet"):
        assert SequenceStore.build(tmp_path / name, settings(), tmp_path / "again").digest == whole, name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_time": "when"}, "two of the roles id, keys, time and label"),
        ({"label_time": "amount"}, "numerical contains the label column 'amount'"),
        ({"logs": ["told"]}, "logs names 'told'"),
        ({"layout": "wide", "known_label": False, "windows": [], "engineered": []}, "leave label_time out"),
    ],
)
def test_what_cannot_be_a_label_time(changes, said) -> None:
    with pytest.raises(ValueError, match=said):
        DatasetDescription.model_validate(settings(**changes))
