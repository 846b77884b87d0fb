"""Boosted trees in the form that is exported; see `network.heads.boosted_trees`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.network.trees import BoostedTrees


class TreeMargin(nn.Module):
    """What the trees add to the fraud logit.

    Args:
        trees: of the network.
    """

    codes_V1: Tensor
    feature_NT: Tensor
    threshold_NT: Tensor
    left_NT: Tensor
    right_NT: Tensor
    value_NT: Tensor

    def __init__(self, trees: BoostedTrees) -> None:
        super().__init__()
        self.depth = trees.depth
        self.register_buffer("codes_V1", trees.codes[:, None].clone())
        for name in ("feature", "left", "right"):
            self.register_buffer(f"{name}_NT", getattr(trees, name).t().long().contiguous())
        for name in ("threshold", "value"):
            self.register_buffer(f"{name}_NT", getattr(trees, name).t().contiguous())

    def forward(self, x_cat_BF: Tensor, numbers_BF: Tensor) -> Tensor:
        """The current order's categories and numbers → [B, 1]."""
        codes_BF = functional.embedding(x_cat_BF, self.codes_V1).squeeze(-1)
        x_BF = torch.cat([codes_BF, numbers_BF], dim=1)
        node_BT = torch.zeros(x_BF.shape[0], self.feature_NT.shape[1], dtype=torch.long)
        for _ in range(self.depth):
            x_BT = x_BF.gather(1, self.feature_NT.gather(0, node_BT))
            above_BT = x_BT > self.threshold_NT.gather(0, node_BT)
            node_BT = torch.where(above_BT, self.right_NT.gather(0, node_BT), self.left_NT.gather(0, node_BT))
        return self.value_NT.gather(0, node_BT).sum(dim=1, keepdim=True)
