"""Boosted trees in the form that is exported; see `network.heads.boosted_trees`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsa_model.network.trees import BoostedTrees


class TreeMargin(nn.Module):
    """What the trees add to the fraud logit.

    Args:
        trees: of the network.
    """

    codes: Tensor
    feature_NT: Tensor
    threshold_NT: Tensor
    left_NT: Tensor
    right_NT: Tensor
    value_NT: Tensor

    def __init__(self, trees: BoostedTrees) -> None:
        super().__init__()
        self.depth = trees.depth
        self.register_buffer("codes", trees.codes.clone())
        for name in ("feature", "threshold", "left", "right", "value"):
            self.register_buffer(f"{name}_NT", getattr(trees, name).t().contiguous())

    def forward(self, x_cat_BF: Tensor, numbers_BF: Tensor) -> Tensor:
        """The current order's categories and numbers → [B, 1]."""
        x_BF = torch.cat([self.codes[x_cat_BF], numbers_BF], dim=1)
        feature_NT, left_NT, right_NT = (x.long() for x in (self.feature_NT, self.left_NT, self.right_NT))
        node_BT = torch.zeros(x_BF.shape[0], feature_NT.shape[1], dtype=torch.long)
        for _ in range(self.depth):
            x_BT = x_BF.gather(1, feature_NT.gather(0, node_BT))
            above_BT = x_BT > self.threshold_NT.gather(0, node_BT)
            node_BT = torch.where(above_BT, right_NT.gather(0, node_BT), left_NT.gather(0, node_BT))
        return self.value_NT.gather(0, node_BT).sum(dim=1, keepdim=True)
