"""The boosted-trees head: an ensemble of decision trees as plain tensors, filled when the network is trained.

How it is computed stands in `heads.py` (reference) and `fast/trees.py`. All numbers are float32, whole ones
too, like every other tensor of a model folder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tsa_model.settings.model import ModelConfig


class BoostedTrees(nn.Module):
    """Trees over the current order: codes of its categories, then its numbers, then its engineered features.

    A node compares one of these with its threshold: not above it goes left. A leaf has itself as both
    children. Fresh trees are single leaves of value 0; where fewer trees are fitted than there is room
    for, the others stay so.

    Args:
        config: sizes.

    Attributes:
        depth: most decisions from a root to a leaf.
        codes: per row of the vocabulary the number a category stands for, [V + 2].
        feature: per node what it compares, a column number, [trees, nodes].
        threshold: per node, [trees, nodes].
        left, right: per node its children, numbers of nodes of the same tree, [trees, nodes].
        value: per leaf what it adds to the fraud logit, [trees, nodes].
    """

    codes: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.depth = config.tree_depth
        self.register_buffer("codes", torch.zeros(config.n_embedding + 2))
        for name in ("feature", "threshold", "left", "right", "value"):
            self.register_buffer(name, torch.zeros(config.boosted_trees, 2 * config.tree_leaves - 1))

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of fitted trees, by their names here.

        Raises:
            ValueError: a tensor is missing, unknown or of another shape.
        """
        own = dict(self.named_buffers())
        if tensors.keys() != own.keys():
            raise ValueError(f"trees have the tensors {sorted(own)}, not {sorted(tensors)}")
        for name, target in own.items():
            if tensors[name].shape != target.shape:
                raise ValueError(f"{name} is {list(tensors[name].shape)}, not {list(target.shape)}")
            target.copy_(tensors[name])
