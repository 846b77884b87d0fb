"""The trees of an exported file: one operator, compared with the network's trees node by node."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from support.batches import tiny_config

from tsa_model import build_network
from tsa_model.batch import MARGIN
from tsa_model.equivalence.evidence.probe_trees import ON_GRID
from tsa_model.export.contents import check_contents
from tsa_model.export.graph import all_nodes
from tsa_model.export.parity import made_rows
from tsa_model.export.parity_error import ContentsError
from tsa_model.export.trees import TreeNodes
from tsa_model.network.heads import boosted_trees


def tree_operator(model):
    (found,) = (node for node in all_nodes(model.graph) if node.op_type == "TreeEnsembleRegressor")
    return found


def test_a_number_on_its_threshold_goes_left_as_in_the_reference(small_single):
    session, network, _ = small_single
    batch = made_rows(network.config, 200, seed=4)
    grid = torch.tensor(ON_GRID)
    numbers = batch["x_num"][:, -1]
    numbers[:] = grid[torch.randint(len(grid), numbers.shape, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        logits, _ = network.twin("reference")(batch)
        without = network.twin("reference")({**batch, MARGIN: torch.zeros(200)})[0]
    assert (logits - without).abs().max() > 0.1, "the trees say nothing about these rows"
    np.testing.assert_allclose(session.run(batch)["logits"], logits, rtol=1e-5, atol=1e-5)


def off(name, change, kind=None):
    """Change the first value of a list that belongs to a decision or to a leaf."""

    def spoil(node):
        held = {each.name: each for each in node.attribute}
        modes = list(held["nodes_modes"].strings)
        at = 0 if kind is None else modes.index(kind)
        values = helper.get_attribute_value(held[name])
        values = [*values[:at], change(values[at]), *values[at + 1 :]]
        held[name].CopyFrom(helper.make_attribute(name, values))

    return spoil


def exchanged(one, other):
    def spoil(node):
        held = {each.name: each for each in node.attribute}
        first, second = (list(held[name].ints) for name in (one, other))
        held[one].ints[:], held[other].ints[:] = second, first

    return spoil


def stated(name, value):
    def spoil(node):
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return spoil


def dropped(node):
    node.op_type, node.domain = "Identity", ""
    del node.attribute[:]


def next_above(value):
    return float(np.nextafter(np.float32(value), np.float32(math.inf)))


FAULTS = {
    "a threshold one unit higher": (off("nodes_values", next_above, b"BRANCH_LEQ"), "compares column"),
    "another column": (off("nodes_featureids", lambda at: at + 1, b"BRANCH_LEQ"), "compares column"),
    "a leaf one unit higher": (off("target_weights", next_above), "adds"),
    "a number on its threshold goes right": (off("nodes_modes", lambda _: b"BRANCH_LT"), "BRANCH_LT"),
    "children exchanged": (exchanged("nodes_truenodeids", "nodes_falsenodeids"), "tree 0"),
    "the mean of the trees": (stated("aggregate_function", "AVERAGE"), "aggregate_function"),
    "a softmax behind them": (stated("post_transform", "SOFTMAX"), "post_transform"),
    "a margin beside them": (stated("base_values", [0.1]), "base_values"),
    "no trees": (dropped, "0 tree operators, not 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_trees_is_named(small_single, tmp_path, fault):
    spoil, words = FAULTS[fault]
    model = onnx.load(small_single.path)
    spoil(tree_operator(model))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ContentsError, match=words):
        check_contents(small_single.network, tmp_path / "model.onnx")


def test_trees_of_other_weights_do_not_pass(small_single):
    other = small_single.network.twin("reference")
    value = other.trees.value.clone()
    value[-1, other.trees.left[-1] == torch.arange(value.shape[1])] += 1e-6
    other.trees.value.copy_(value)
    with pytest.raises(ContentsError, match="of tree 4 adds"):
        check_contents(other, small_single.path)


def test_fresh_trees_are_leaves():
    config = tiny_config("single", boosted_trees=3, tree_leaves=4, tree_depth=2)
    trees = build_network(config, "reference").trees
    assert trees is not None
    nodes = TreeNodes.of(trees)
    assert nodes.nodes_modes == ["LEAF"] * 3
    assert nodes.target_weights == [0.0] * 3


def test_a_node_that_leads_left_to_itself_is_a_leaf_as_in_the_reference():
    trees = build_network(
        tiny_config("single", boosted_trees=1, tree_leaves=2, tree_depth=2), "reference"
    ).trees
    assert trees is not None
    trees.right[0, 0] = 1.0
    trees.value[0, :2] = torch.tensor([0.5, 0.25])
    x_BF = torch.ones(1, 12)
    assert boosted_trees(trees, x_BF).tolist() == TreeNodes.of(trees).target_weights == [0.5]
