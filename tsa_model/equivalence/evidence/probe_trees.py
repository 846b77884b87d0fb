"""Random trees, deep and uneven, whose thresholds are numbers that occur: what lies on one must go left."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from tsa_model.settings.model import ModelConfig

ON_GRID = (-1.0, 0.0, 0.25, 0.5, 1.0)
"""Thresholds, and codes of categories. Of the edge cases one has all numbers zero."""


def random_trees(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Tensors for `network.trees.BoostedTrees`: the same ones for the same sizes and seed."""
    rng = random.Random(seed)
    names = ("feature", "threshold", "left", "right", "value")
    found = {name: torch.zeros(config.boosted_trees, 2 * config.tree_leaves - 1) for name in names}
    for number in range(config.boosted_trees):
        for at, node in enumerate(_tree(config, rng)):
            for name, value in node.items():
                found[name][number, at] = value
    codes = torch.tensor([rng.choice(ON_GRID) for _ in range(config.n_embedding + 2)])
    return {"codes": codes, **found}


def _tree(config: ModelConfig, rng: random.Random) -> list[dict[str, float]]:
    """Nodes, the root first; half of the time the deepest leaf is the one to grow."""
    n_features = config.n_cat_features + config.n_num_features + config.n_engineered_num_features
    spread = config.boosted_trees**-0.5
    nodes, depths = [_leaf(0, rng, spread)], {0: 0}
    while len(nodes) < 2 * config.tree_leaves - 1:
        growing = [leaf for leaf, depth in depths.items() if depth < config.tree_depth]
        if not growing:
            break
        at = max(growing, key=depths.__getitem__) if rng.random() < 0.5 else rng.choice(growing)
        depth, left, right = depths.pop(at) + 1, len(nodes), len(nodes) + 1
        feature, threshold = rng.randrange(n_features), rng.choice(ON_GRID)
        nodes[at] = {"feature": feature, "threshold": threshold, "left": left, "right": right}
        for child in (left, right):
            nodes.append(_leaf(child, rng, spread))
            depths[child] = depth
    return nodes


def _leaf(at: int, rng: random.Random, spread: float) -> dict[str, float]:
    return {"left": at, "right": at, "value": spread * rng.gauss(0.0, 1.0)}
