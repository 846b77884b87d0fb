"""A network and boosted trees that learned apart, shipped as one: a weighted mean of their logits.

The formula stays that of a network with trees, a sum. The weights of the mean go into the tensors: the last
layers of classifier and wide head are multiplied by the network's share, the leaves by what is left of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.batch import MARGIN, n_rows
from tsa_model.network.networks import Network, build_network
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.training.feeding import EvaluationBatches
from tsa_model.training.members import validation_metrics
from tsa_model.training.trees import grow_trees, read_orders

LEAST_SHARE = 0.1
"""Neither part is left out: a week of validation says too little for that."""
USUAL_SHARE = 0.2
"""What a share is drawn towards. Validation speaks too well of a network, which it chose the best epoch of
and which ages faster than trees; later weeks wanted less on every data set (docs/TUNING.md)."""
SPREAD = 0.05
"""How far a weight may be from the usual one, as a standard deviation, before validation has spoken: so
little that some 150 frauds move the share by half of what they ask for at most."""


@dataclass(frozen=True)
class Fused:
    """What is shipped of one training.

    Attributes:
        weights: of the network with trees, by their names in it.
        share: of the network in the logit, from 0.1 to 0.9.
        metrics: validation loss and metrics of the whole.
    """

    weights: dict[str, Tensor]
    share: float
    metrics: dict[str, float]


def fuse(
    store: SequenceStore, config: ModelConfig, training: TrainConfig, weights: Mapping[str, Tensor]
) -> Fused:
    """Grow trees, choose the network's share on the validation period, and put both into one network.

    Args:
        store: the sequence store.
        config: of one network, with trees.
        training: its seed is the trees' too.
        weights: of a network that was trained without trees, by their names in it.
    """
    network = build_network(config)
    trees = grow_trees(store, config, training.seed)
    tensors = {f"trees.{name}": tensor for name, tensor in trees.tensors(config).items()}
    network.load_state_dict({**weights, **tensors})
    network.eval()
    margin = trees.margin(read_orders(store, store.targets("vali")))
    share = choose_share(_alone(network, store, training), margin, store.labels("vali"))
    weigh(network, share)
    metrics = validation_metrics(network, store, training)
    return Fused({name: x.clone() for name, x in network.state_dict().items()}, share, metrics)


@torch.no_grad()
def weigh(network: Network, share: float) -> None:
    """Turn a network whose logits are a sum into one whose logits are a mean.

    Args:
        network: with trees; logits n + t, n of its heads and t of its trees. They become
            `share` · n + (1 - `share`) · t.
        share: from 0 to 1.

    Raises:
        ValueError: the network has no trees.
    """
    if network.trees is None:
        raise ValueError("a network without boosted trees has nothing to share its logits with")
    heads: list[Any] = [network.clf, network.wide]
    for head in heads:
        if head is not None:
            for parameter in head[-1].parameters():
                parameter.mul_(share)
    network.trees.value.mul_(1.0 - share)


def choose_share(
    network: NDArray[np.floating], trees: NDArray[np.floating], label: NDArray[np.integer]
) -> float:
    """The network's share of the logit, from 0.1 to 0.9, in hundredths.

    A logistic regression on the two logits gives both their weights, drawn towards those of the usual share,
    so that few frauds hardly move it, and labels of one kind not at all.

    Args:
        network: its logits, [n].
        trees: their margins, [n].
        label: 0 or 1, [n].
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(label)) < 2:
        return round(USUAL_SHARE, 2)
    mean = USUAL_SHARE * network + (1 - USUAL_SHARE) * trees
    size = 1e3  # so much larger, the mean's weight is hardly drawn towards 0
    columns = np.stack([size * mean, network - trees], axis=1).astype(np.float64)
    fitted = LogisticRegression(C=SPREAD**2, solver="newton-cholesky", max_iter=1000).fit(columns, label)
    of_mean, of_difference = fitted.coef_[0] * [size, 1.0]
    share = USUAL_SHARE + of_difference / of_mean if of_mean > 0 else USUAL_SHARE
    return round(float(np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE)), 2)


@torch.inference_mode()
def _alone(network: Network, store: SequenceStore, training: TrainConfig) -> NDArray[np.float64]:
    """Fraud logits above the genuine ones of the validation targets, without the trees, [n]."""
    found = []
    rows = store.targets("vali")
    for batch in EvaluationBatches(store, network.config.sequences, rows, training.batch_size):
        logits, _ = network({**batch, MARGIN: torch.zeros(n_rows(batch))})
        found.append((logits[:, 1] - logits[:, 0]).double())
    return torch.cat(found).numpy()
