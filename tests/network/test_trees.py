"""Boosted trees: the current order's row through every tree, down to one leaf."""

from __future__ import annotations

import pytest
import torch
from support.batches import edge_batch, ragged_batch, tiny_config, tiny_network

from tsa_model.batch import MARGIN, rows_of
from tsa_model.network.checkpoint import load_model, save_model
from tsa_model.network.networks import build_network

TREES = {"boosted_trees": 5, "tree_leaves": 7, "tree_depth": 5}


def walked(trees, row):
    """One row down one tree after the other."""
    total = 0.0
    for tree in range(len(trees.value)):
        node = 0
        while int(trees.left[tree, node]) != node:
            above = row[int(trees.feature[tree, node])] > float(trees.threshold[tree, node])
            node = int((trees.right if above else trees.left)[tree, node])
        total += float(trees.value[tree, node])
    return total


def by_hand(network, batch):
    history = "" if network.config.sequences == "single" else "seq_"
    key = "" if network.config.sequences == "single" else "_cid"
    rows = []
    for i in range(len(batch["label"])):
        places = batch[f"x_{history}cat{key}"][i, -1].tolist()
        row = [float(network.trees.codes[place]) for place in places]
        row += batch[f"x_{history}num{key}"][i, -1].tolist()
        row += batch["x_engineered"][i].tolist() if "x_engineered" in batch else []
        rows.append(walked(network.trees, row))
    return torch.tensor(rows)


@pytest.mark.parametrize("implementation", ["reference", "fast", "static"])
@pytest.mark.parametrize("n_engineered", [0, 3])
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_their_margin_is_added_to_the_fraud_logit(sequences, n_engineered, implementation):
    config = tiny_config(sequences, n_engineered_num_features=n_engineered, **TREES)
    network = tiny_network(config).twin(implementation)
    for batch in (ragged_batch(config, 40), edge_batch(config)[0]):
        with torch.no_grad():
            logits = network(batch)[0]
            without = network({**batch, MARGIN: torch.zeros(len(logits))})[0]
        margin = by_hand(network, batch)
        assert len(margin.unique()) > 5
        added = torch.stack([torch.zeros_like(margin), margin], dim=1)
        torch.testing.assert_close(logits - without, added, rtol=0, atol=1e-4 * without.abs().max().item())


@pytest.mark.parametrize("implementation", ["reference", "fast"])
def test_a_number_on_a_threshold_goes_left(implementation):
    config = tiny_config(**TREES)
    network = build_network(config, implementation).eval()
    with torch.no_grad():
        network.trees.feature[0, 0], network.trees.threshold[0, 0] = config.n_cat_features, 0.3
        network.trees.left[0, :3], network.trees.right[0, :3] = torch.tensor([[1, 1, 2], [2, 1, 2]])
        network.trees.value[0, :3] = torch.tensor([0.0, -1.0, 1.0])
    batch = ragged_batch(config, 3)
    below, above = (torch.nextafter(torch.tensor(0.3), torch.tensor(end)) for end in (0.0, 1.0))
    batch["x_seq_num_cid"][:, -1, 0] = torch.stack([below, torch.tensor(0.3), above])
    with torch.no_grad():
        assert network(batch)[0].tolist() == [[0.0, -1.0], [0.0, -1.0], [0.0, 1.0]]


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_a_fresh_network_says_what_the_margin_says(sequences):
    config = tiny_config(sequences, wide_hidden_dim=6, **TREES)
    network, batch = build_network(config, "fast").train(), ragged_batch(config)
    margin = torch.linspace(-3, 3, 16)
    logits, _ = network({**batch, MARGIN: margin})
    assert torch.equal(logits, torch.stack([torch.zeros(16), margin], dim=1))
    logits.square().sum().backward()
    for head in (network.clf, network.wide):
        assert head[-1].weight.grad.abs().max() > 0


def test_a_row_alone_has_the_margin_it_has_in_a_batch():
    config = tiny_config(**{**TREES, "boosted_trees": 300})
    network = tiny_network(config)
    with torch.no_grad():
        for head in (network.clf[-1].weight, network.clf[-1].bias):
            head.zero_()
        batch = ragged_batch(config, 33)
        whole = network(batch)[0]
        alone = torch.cat([network(rows_of(batch, slice(i, i + 1)))[0] for i in range(33)])
    assert torch.equal(whole, alone)


def test_without_them_every_weight_is_what_it_was():
    weights = []
    for n_trees in (0, 5):
        torch.manual_seed(0)
        config = tiny_config(wide_hidden_dim=6, **{**TREES, "boosted_trees": n_trees})
        weights.append(build_network(config).state_dict())
    new = sorted(name for name in weights[1] if name not in weights[0])
    assert new == [f"trees.{name}" for name in ("codes", "feature", "left", "right", "threshold", "value")]
    at_zero = {f"{head}.{kind}" for head in ("clf.3", "wide.2") for kind in ("weight", "bias")}
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]) != (name in at_zero), name
    assert all(not weights[1][name].any() for name in at_zero)


def test_a_model_folder_keeps_them(tmp_path):
    network = tiny_network(tiny_config(**TREES))
    save_model(network, tmp_path / "model")
    read, own = load_model(tmp_path / "model").state_dict(), network.state_dict()
    assert own["trees.value"].any()
    assert all(torch.equal(tensor, read[name]) for name, tensor in own.items())


def test_trees_of_another_size_are_refused():
    small, large = (tiny_network(tiny_config(**{**TREES, "boosted_trees": n})).trees for n in (2, 5))
    with pytest.raises(ValueError, match=r"feature is \[2, 13\], not \[5, 13\]"):
        large.fill(dict(small.named_buffers()))
