"""Boosted trees in the form that is exported: one operator of ONNX's `ai.onnx.ml` domain.

See `network.heads.boosted_trees` for what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.network.trees import BoostedTrees

DECIDES, LEAF = "BRANCH_LEQ", "LEAF"


@torch.library.custom_op("tsa::tree_margin", mutates_args=())
def tree_margin(x_BF: Tensor, nodes: Sequence[Tensor], depth: int) -> Tensor:
    """What trees add to the fraud logit, [B, 1].

    Args:
        x_BF: codes of the current order's categories, then its numbers.
        nodes: feature, threshold, left, right and value of the trees' nodes, [nodes, trees] each.
        depth: most decisions from a root to a leaf.
    """
    feature, threshold, left, right, value = nodes
    node_BT = torch.zeros(x_BF.shape[0], feature.shape[1], dtype=torch.long)
    for _ in range(depth):
        goes_left_BT = x_BF.gather(1, feature.gather(0, node_BT)) <= threshold.gather(0, node_BT)
        node_BT = torch.where(goes_left_BT, left.gather(0, node_BT), right.gather(0, node_BT))
    return value.gather(0, node_BT).sum(dim=1, keepdim=True)


@tree_margin.register_fake
def _(x_BF: Tensor, nodes: Sequence[Tensor], depth: int) -> Tensor:
    return x_BF.new_empty((x_BF.shape[0], 1))


class TreeMargin(nn.Module):
    """What the trees add to the fraud logit.

    Args:
        trees: of the network.
    """

    codes_V1: Tensor

    def __init__(self, trees: BoostedTrees) -> None:
        super().__init__()
        self.depth = trees.depth
        self.register_buffer("codes_V1", trees.codes[:, None].clone())
        for name in ("feature", "left", "right"):
            self.register_buffer(name, getattr(trees, name).t().long().contiguous())
        for name in ("threshold", "value"):
            self.register_buffer(name, getattr(trees, name).t().contiguous())

    def forward(self, x_cat_BF: Tensor, numbers_BF: Tensor) -> Tensor:
        """The current order's categories and numbers → [B, 1]."""
        codes_BF = functional.embedding(x_cat_BF, self.codes_V1).squeeze(-1)
        x_BF = torch.cat([codes_BF, numbers_BF], dim=1)
        nodes = [getattr(self, name) for name in ("feature", "threshold", "left", "right", "value")]
        return tree_margin(x_BF, nodes, self.depth)


@dataclass
class TreeNodes:
    """Attributes of `TreeEnsembleRegressor`: the nodes that a row can come to, tree after tree."""

    nodes_treeids: list[int] = field(default_factory=list)
    nodes_nodeids: list[int] = field(default_factory=list)
    nodes_modes: list[str] = field(default_factory=list)
    nodes_featureids: list[int] = field(default_factory=list)
    nodes_values: list[float] = field(default_factory=list)
    nodes_truenodeids: list[int] = field(default_factory=list)
    nodes_falsenodeids: list[int] = field(default_factory=list)
    target_treeids: list[int] = field(default_factory=list)
    target_nodeids: list[int] = field(default_factory=list)
    target_ids: list[int] = field(default_factory=list)
    target_weights: list[float] = field(default_factory=list)
    n_targets: int = 1

    @classmethod
    def of(cls, trees: BoostedTrees) -> TreeNodes:
        """The nodes of a network's trees. Where `depth` decisions are made, a node gives its own value."""
        found = cls()
        numbers = {name: values.tolist() for name, values in trees.named_buffers() if name != "codes"}
        for tree in range(len(trees.feature)):
            own = {name: values[tree] for name, values in numbers.items()}
            waiting, n_numbered = [(0, 0, 0)], 1
            while waiting:
                number, node, depth = waiting.pop()
                left, right = int(own["left"][node]), int(own["right"][node])
                if depth == trees.depth or left == node:
                    found._add_leaf(tree, number, own["value"][node])
                    continue
                children = (n_numbered, n_numbered + 1)
                found._add_node(
                    tree, number, DECIDES, int(own["feature"][node]), own["threshold"][node], children
                )
                waiting += [(children[1], right, depth + 1), (children[0], left, depth + 1)]
                n_numbered += 2
        return found

    def _add_leaf(self, tree: int, number: int, value: float) -> None:
        self._add_node(tree, number, LEAF, 0, 0.0, (0, 0))
        self.target_treeids.append(tree)
        self.target_nodeids.append(number)
        self.target_ids.append(0)
        self.target_weights.append(value)

    def _add_node(
        self, tree: int, number: int, mode: str, feature: int, threshold: float, children: tuple[int, int]
    ) -> None:
        self.nodes_treeids.append(tree)
        self.nodes_nodeids.append(number)
        self.nodes_modes.append(mode)
        self.nodes_featureids.append(feature)
        self.nodes_values.append(threshold)
        self.nodes_truenodeids.append(children[0])
        self.nodes_falsenodeids.append(children[1])


def translation(trees: BoostedTrees) -> Callable[..., Any]:
    """How `tree_margin` of these trees is written to ONNX."""
    nodes = asdict(TreeNodes.of(trees))

    def write(x_BF: Any, of_nodes: Any, depth: int) -> Any:
        from onnxscript.onnx_opset import opset_ai_onnx_ml3

        op: Any = opset_ai_onnx_ml3
        return op.TreeEnsembleRegressor(x_BF, **nodes)

    return write
