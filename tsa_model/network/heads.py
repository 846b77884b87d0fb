"""What comes after attention, as plain computations: wide head, boosted trees, mean of an ensemble's members.

They belong to `reference.py`; `fast/classifiers.py` has its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from tsa_model.batch import ENGINEERED, MARGIN, Batch, History
from tsa_model.network.parameters import DualSequenceParameters, SingleSequenceParameters
from tsa_model.network.trees import BoostedTrees
from tsa_model.settings.model import WIDE_EDGES


def add_wide_head(
    network: SingleSequenceParameters | DualSequenceParameters,
    logits: Tensor,
    x_num_BLF: Tensor,
    x_engineered_BF: Tensor | None,
) -> Tensor:
    """Logits [B, classes] plus what a two-layer network reads off the current order's numbers.

    Args:
        network: its `wide` is Linear, ReLU, Linear; None = the logits as they are.
        logits: of the classifier.
        x_num_BLF: the first history, whose last row is the current order.
        x_engineered_BF: its engineered features, if there are any.
    """
    if network.wide is None:
        return logits
    numbers = [x_num_BLF[:, -1]]
    if x_engineered_BF is not None:
        numbers.append(x_engineered_BF)
    x_BF = torch.cat(numbers, dim=-1)
    if network.wide_is_piecewise:
        x_BF = torch.cat([x_BF, piecewise(x_BF)], dim=-1)
    return logits + network.wide(x_BF)


def piecewise(x_BF: Tensor) -> Tensor:
    """How far each number has come through each interval of `WIDE_EDGES`, 0 before it and 1 after it.

    Returns:
        [B, F · intervals], the intervals of the first number first.
    """
    shares = [((x_BF - low) / (high - low)).clamp(0.0, 1.0) for low, high in itertools.pairwise(WIDE_EDGES)]
    return torch.stack(shares, dim=-1).flatten(1)


def add_boosted_trees(
    network: SingleSequenceParameters | DualSequenceParameters,
    logits: Tensor,
    history: History[Tensor],
    batch: Batch,
) -> Tensor:
    """Logits [B, 2], the fraud's with the trees' margin added.

    Args:
        network: without `trees` the logits stay as they are.
        logits: of the other heads.
        history: the first one, whose last row is the current order.
        batch: its engineered features; a margin it carries takes the place of the trees' own.
    """
    if network.trees is None:
        return logits
    margin_B = batch.get(MARGIN)
    if margin_B is None:
        parts = [network.trees.codes[history.cat[:, -1]], history.num[:, -1]]
        if ENGINEERED in batch:
            parts.append(batch[ENGINEERED])
        margin_B = boosted_trees(network.trees, torch.cat(parts, dim=1))
    return torch.stack([logits[:, 0], logits[:, 1] + margin_B], dim=1)


def boosted_trees(trees: BoostedTrees, x_BF: Tensor) -> Tensor:
    """[B, F] → [B], the sum over the trees of the leaf that each order comes to."""
    names = (trees.feature, trees.threshold, trees.left, trees.right, trees.value)
    total_B = x_BF.new_zeros(len(x_BF))
    for nodes in torch.stack(names, dim=-1).tolist():
        total_B = total_B + _given_below(nodes, 0, x_BF)
    return total_B


def _given_below(nodes: list[list[float]], at: int, x_BF: Tensor) -> Tensor:
    """What a tree gives each order, [B], if all of them come to the node `at`."""
    feature, threshold, left, right, value = nodes[at]
    if left == at:
        return x_BF.new_full((len(x_BF),), value)
    goes_left_B = x_BF[:, int(feature)] <= threshold
    of_left_B, of_right_B = (_given_below(nodes, int(child), x_BF) for child in (left, right))
    return torch.where(goes_left_B, of_left_B, of_right_B)


def mean_of_members(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B, classes] of several networks → their mean."""
    return sum(logits[1:], start=logits[0]) / len(logits)
