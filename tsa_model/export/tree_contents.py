"""The trees of an ONNX file against those of the network: node by node, from the roots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tsa_model.network.trees import BoostedTrees

if TYPE_CHECKING:
    import onnx

OPERATOR = ("ai.onnx.ml", "TreeEnsembleRegressor")
OF_NODES = ("modes", "featureids", "values", "truenodeids", "falsenodeids")
SETTINGS = {"n_targets": 1, "aggregate_function": b"SUM", "post_transform": b"NONE"}
"""Attributes beside the nodes, and the one value each may have."""


def tree_problems(nodes: list[onnx.NodeProto], ensembles: list[BoostedTrees]) -> list[str]:
    """What is wrong with the tree operators of a file.

    Args:
        nodes: the operators.
        ensembles: trees that the file must hold, in the order of its operators.
    """
    if len(nodes) != len(ensembles):
        return [f"the file has {len(nodes)} tree operators, not {len(ensembles)}"]
    problems = []
    for node, trees in zip(nodes, ensembles, strict=True):
        problems += [f"{node.output[0]}: {problem}" for problem in _problems_of(node, trees)]
    return problems


def _problems_of(node: onnx.NodeProto, trees: BoostedTrees) -> Iterator[str]:
    from onnx import helper

    held = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    for name, value in SETTINGS.items():
        if held.pop(name, value) != value:
            yield f"{name} is not {value!r}"
    try:
        named = zip(held.pop("nodes_treeids"), held.pop("nodes_nodeids"), strict=True)
        found = _by_name(named, zip(*(held.pop(f"nodes_{kind}") for kind in OF_NODES), strict=True))
        leaves = zip(held.pop("target_treeids"), held.pop("target_nodeids"), strict=True)
        given = _by_name(leaves, held.pop("target_weights"))
        targets = set(held.pop("target_ids"))
    except (KeyError, ValueError) as error:
        yield f"the lists of its nodes do not belong together ({error})"
        return
    if held or targets - {0}:
        yield f"it has attributes that no export has: {sorted(held) or sorted(targets)}"
    for tree in range(len(trees.feature)):
        yield from _differing(tree, found, given, trees)
    if found or given:
        yield f"{len(found)} nodes and {len(given)} leaves' values belong to no tree"


def _by_name(names: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
    pairs = list(zip(names, values, strict=True))
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a node stands there twice")
    return found


def _differing(
    tree: int, found: dict[Any, Any], given: dict[Any, float], trees: BoostedTrees
) -> Iterator[str]:
    """The first difference of one tree; what was looked at is taken away from both."""
    feature, threshold, left, right, value = (
        values[tree].tolist()
        for values in (trees.feature, trees.threshold, trees.left, trees.right, trees.value)
    )
    waiting = [(0, 0, 0)]
    while waiting:
        number, node, depth = waiting.pop()
        is_leaf = depth == trees.depth or left[node] == node
        mode, column, limit, if_true, if_false = found.pop((tree, number), (None,) * 5)
        if mode != (b"LEAF" if is_leaf else b"BRANCH_LEQ"):
            yield f"node {number} of tree {tree} is {mode}"
            return
        if is_leaf:
            adds = given.pop((tree, number), None)
            if adds is None or np.float32(adds) != np.float32(value[node]):
                yield f"leaf {number} of tree {tree} adds {adds}, not {value[node]:.9g}"
                return
            continue
        if column != feature[node] or np.float32(limit) != np.float32(threshold[node]):
            yield (
                f"node {number} of tree {tree} compares column {column} with {limit:.9g}, "
                f"not {int(feature[node])} with {threshold[node]:.9g}"
            )
            return
        waiting += [(if_true, int(left[node]), depth + 1), (if_false, int(right[node]), depth + 1)]
