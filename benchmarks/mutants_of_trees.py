"""Faults in the boosted-trees head."""

from __future__ import annotations

from mutant import NETWORKS, TREES, Mutant, mutant

TREE_MUTANTS: list[Mutant] = [
    mutant("trees dropped", TREES, "if network.trees is None:", "if True:", "trees"),
    mutant("a number on its threshold goes right", TREES, "<= threshold_NT", "< threshold_NT", "trees"),
    mutant(
        "children swapped",
        TREES,
        "left_NT.gather(0, node_BT), right_NT.gather(0, node_BT)",
        "right_NT.gather(0, node_BT), left_NT.gather(0, node_BT)",
        "trees",
    ),
    mutant("one tree left out", TREES, ".sum(dim=1)", "[:, 1:].sum(dim=1)", "trees"),
    mutant("trees averaged", TREES, ".sum(dim=1)", ".mean(dim=1)", "trees"),
    mutant("one decision too few", TREES, "range(trees.depth)", "range(trees.depth - 1)", "trees"),
    mutant(
        "trees read the next feature",
        TREES,
        "x_BF.gather(1, feature_NT",
        "x_BF.roll(-1, 1).gather(1, feature_NT",
        "trees",
    ),
    mutant(
        "trees read the first order's categories", TREES, "history.cat[:, -1]", "history.cat[:, 0]", "trees"
    ),
    mutant("trees read the first order's numbers", TREES, "history.num[:, -1]", "history.num[:, 0]", "trees"),
    mutant("margin of the batch ignored in training", TREES, "batch.get(MARGIN)", "None", "trees"),
    mutant(
        "margin added to the genuine logit",
        TREES,
        "[torch.zeros_like(margin_B), margin_B]",
        "[margin_B, torch.zeros_like(margin_B)]",
        "trees",
    ),
    mutant(
        "trees forgotten in both computations",
        NETWORKS,
        "return BoostedTrees(self.config)",
        "return None",
        "trees",
    ),
]
