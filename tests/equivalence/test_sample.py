"""The compared rows cover what occurs, and are the same ones every time."""

from __future__ import annotations

import pytest
import torch
from support.batches import edge_batch, ragged_batch, tiny_config, tiny_network, tiny_sample

from tsa_model.equivalence import EquivalenceError
from tsa_model.equivalence.evidence.generated import MAX_TIME_S, fill_masked, random_rows
from tsa_model.equivalence.evidence.sample import choose, describe_rows, make_sample


def test_every_kind_of_row_is_chosen_before_any_kind_is_chosen_twice():
    kinds = [("common",)] * 50 + [("rare",)] + [("other",)] * 3
    chosen = choose(kinds, 4)
    assert [kinds[row] for row in chosen].count(("common",)) == 1 + 1
    assert 50 in chosen
    assert choose(kinds, 1000) == list(range(54))


def test_rows_are_described_by_history_and_categories():
    config = tiny_config("dual")
    batch = random_rows(config, [[1, 9, 4], [9, 1, 2]], seed=0)
    batch["x_seq_cat_cid"][:, -1] = batch["x_seq_cat_ccid"][:, -1] = torch.tensor([[3], [3], [0]])
    words = describe_rows(batch, config, (0,))
    assert words[0][:3] == ("customer history empty", "card history full", "known categories")
    assert words[1][:2] == ("customer history full", "card history empty")
    assert words[2][:3] == (
        "customer history of up to 5 orders",
        "card history of up to 2 orders",
        "unknown category",
    )


def test_the_sample_is_frozen_and_its_digest_sees_one_value():
    config = tiny_config("dual")
    first, second = tiny_sample(config), tiny_sample(config)
    assert first.digest == second.digest
    assert first.names == second.names
    second.batch["x_seq_num_cid"][0, -1, 0] += 1e-6
    assert first.digest != second.digest


def test_a_store_without_rows_is_refused():
    config = tiny_config("single")
    with pytest.raises(EquivalenceError, match="the sample is empty"):
        make_sample(ragged_batch(config, 1), [], config)


@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("seq_len", [1, 2, 9])
def test_edge_cases_are_valid_inputs(sequences, seq_len):
    config = tiny_config(sequences, seq_len=seq_len)
    batch, names = edge_batch(config)
    assert len(names) == len(set(names)) == len(batch["label"])
    network = tiny_network(config)
    with torch.no_grad():
        logits, _ = network(batch)
    assert torch.isfinite(logits).all()
    for name, x in batch.items():
        if name.startswith("time_seq"):
            assert (x >= 0).all()
            assert (x <= MAX_TIME_S).all()
            assert (x[:, -1] == 0).all()
        if name.startswith("key_padding_mask"):
            assert not x[:, -1].any()


def test_garbage_goes_under_the_mask_and_nowhere_else():
    config = tiny_config("single")
    batch = ragged_batch(config)
    filled = {name: x.clone() for name, x in batch.items()}
    fill_masked(filled, config, torch.ones(16, dtype=torch.bool), seed=0)
    real = ~batch["key_padding_mask"][:, :-1]
    assert torch.equal(filled["x_cat"][real], batch["x_cat"][real])
    assert (filled["x_num"][~real] != 0).any()
