"""Padded arrays as the legacy keeps them become the batches a store gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.event_oracle import START_S, description

from tsa_model.sequences import SequenceStore, batch_from_arrays, generate_padding_mask

GOLDEN = Path(__file__).parents[1] / "golden" / "wide_rows.npz"


@pytest.fixture(scope="module")
def store_and_arrays(tmp_path_factory):
    """A store, and its content as dense arrays with flags."""
    rng = np.random.default_rng(0)
    n = 90
    data = pd.DataFrame(
        {
            "id": np.arange(n),
            "who": rng.integers(0, 9, n),
            "card": rng.integers(0, 9, n),
            "when": START_S + rng.integers(0, 9999, n),
            "fraud": rng.integers(0, 2, n),
            "shop": rng.choice(["a", "b"], n),
            "country": rng.choice(["DE", "FR"], n),
            "amount": rng.lognormal(3, 1, n),
            "items": rng.integers(1, 5, n) / 1.0,
        }
    )
    store = SequenceStore.build(data, description(), tmp_path_factory.mktemp("dense") / "store")
    batch = store.batch(data["id"].tolist())
    arrays = {"x_engineered_num": batch["x_engineered"].numpy(), "y": batch["label"].numpy()}
    for key in ("cid", "ccid"):
        flag = ~batch[f"key_padding_mask_{key}"][:, :-1, None]
        parts = (batch[f"x_seq_num_{key}"], batch[f"time_seq_{key}"], flag.float())
        arrays[f"x_seq_cat_{key}"] = batch[f"x_seq_cat_{key}"].numpy().astype(np.int16)
        arrays[f"x_seq_num_{key}"] = torch.cat(parts, dim=2).numpy().astype(np.float64)
    return store, arrays


def assert_same(one, two):
    assert set(one) == set(two)
    for name, tensor in two.items():
        assert one[name].dtype == tensor.dtype, name
        assert torch.equal(one[name], tensor), name


def test_dual_arrays_become_the_stores_batches(store_and_arrays):
    store, arrays = store_and_arrays
    assert_same(batch_from_arrays(arrays), store.batch(np.arange(90)))
    rows = np.array([5, 80, 2])
    assert_same(batch_from_arrays(arrays, rows), store.batch(rows))


def test_single_arrays_become_the_stores_single_batches(store_and_arrays):
    store, arrays = store_and_arrays
    single = {name.removesuffix("_cid"): array for name, array in arrays.items() if "ccid" not in name}
    assert_same(batch_from_arrays(single, slice(10, 30)), store.batch(np.arange(10, 30), sequences="single"))


def test_without_a_flag_the_padding_is_found_by_its_value(store_and_arrays):
    store, arrays = store_and_arrays
    bare = {name: a[..., :-1] if name.startswith("x_seq_num") else a for name, a in arrays.items()}
    assert_same(batch_from_arrays(bare, pad_value=0), store.batch(np.arange(90)))


def test_a_padding_mask_never_ignores_the_current_order():
    x = np.array([[[0, 0], [0, 3], [0, 0]], [[9, 9], [0, 0], [4, 0]]])
    expected = [[True, False, False, False], [False, True, False, False]]
    assert generate_padding_mask(x, 0).tolist() == expected
    assert generate_padding_mask(np.where(x == 0, np.nan, x), np.nan).tolist() == expected
    assert generate_padding_mask(np.array([[-1, -1, 5]]), -1).tolist() == [[True, True, False, False]]
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        generate_padding_mask(np.zeros(3))


def test_golden_arrays_are_taken_as_they_are():
    golden = np.load(GOLDEN, allow_pickle=False)
    assert json.loads(str(golden["meta"]))["seq_len"] == 51
    arrays = {
        f"x_seq_{kind}_{key}": golden[f"{key}_{kind}"] for key in ("cid", "ccid") for kind in ("cat", "num")
    }
    batch = batch_from_arrays(arrays | {"y": np.zeros(40)})
    assert "x_engineered" not in batch
    assert batch["time_seq_cid"].max() == 1e7
    assert batch["x_seq_num_ccid"].shape == (40, 51, 36)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_seq_num_ccid": None}, "array 'x_seq_num_ccid' is missing"),
        ({"y": np.zeros(3)}, r"x_seq_cat_cid \(90, 51, 2\).* y \[3\] do not belong together"),
        ({"x_engineered_num": np.zeros((5, 1))}, r"x_engineered_num \(5, 1\)"),
        (
            {"x_seq_num_cid": np.full((90, 51, 4), 0.5)},
            "x_seq_num_cid: the last column is not a not_padded flag",
        ),
        (
            {"x_seq_num_cid": np.concatenate([np.full((90, 51, 3), -2.0), np.ones((90, 51, 1))], 2)},
            "2 s later",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(store_and_arrays, change, message):
    arrays = {name: a for name, a in (store_and_arrays[1] | change).items() if a is not None}
    with pytest.raises(ValueError, match=message):
        batch_from_arrays(arrays)
