"""All boosted trees at once, in a fixed number of gathers; see `heads.boosted_trees`."""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.batch import ENGINEERED, MARGIN, Batch, History
from tsa_model.network.parameters import (
    DualSequenceParameters,
    SingleSequenceParameters,
)
from tsa_model.network.trees import BoostedTrees


def with_trees(
    network: SingleSequenceParameters | DualSequenceParameters,
    logits: Tensor,
    history: History[Tensor],
    batch: Batch,
) -> Tensor:
    """Logits [B, 2] with the margin of the trees or the batch; see `heads.add_boosted_trees`."""
    if network.trees is None:
        return logits
    margin_B = batch.get(MARGIN)
    if margin_B is None:
        x_BF = torch.cat([network.trees.codes[history.cat[:, -1]], history.num[:, -1]], dim=1)
        if ENGINEERED in batch:
            x_BF = torch.cat([x_BF, batch[ENGINEERED]], dim=1)
        margin_B = margin_of(network.trees, x_BF)
    return logits + torch.stack([torch.zeros_like(margin_B), margin_B], dim=1)


def margin_of(trees: BoostedTrees, x_BF: Tensor) -> Tensor:
    """[B, F] → [B]: every order walks down every tree in step, and stays where it is once it is at a leaf."""
    feature_NT, left_NT, right_NT = (x.long().t() for x in (trees.feature, trees.left, trees.right))
    threshold_NT, value_NT = trees.threshold.t(), trees.value.t()
    node_BT = feature_NT.new_zeros(len(x_BF), feature_NT.shape[1])
    for _ in range(trees.depth):
        goes_left_BT = x_BF.gather(1, feature_NT.gather(0, node_BT)) <= threshold_NT.gather(0, node_BT)
        node_BT = torch.where(goes_left_BT, left_NT.gather(0, node_BT), right_NT.gather(0, node_BT))
    return value_NT.gather(0, node_BT).sum(dim=1)
