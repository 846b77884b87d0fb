"""Several trained networks as one: their weights put together, and how far they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsa_model.batch import LABEL
from tsa_model.network.networks import Network, build_network, members_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.training.feeding import EvaluationBatches
from tsa_model.training.metrics import classification_metrics
from tsa_model.training.objective import Objective


@dataclass(frozen=True)
class Trained:
    """One finished training."""

    seed: int
    metrics: dict[str, float]
    """Of the best epoch."""
    epochs: int
    best_epoch: int
    """From 1."""
    rows_per_second: float
    feeding_share: float
    weights: dict[str, Tensor]
    """The best epoch's, by their names in the network."""
    network_share: float | None
    """Of the logit, where it is the mean of a network's and trees'; see `fusion.py`."""
    is_global_zero: bool
    wait: Callable[[str], Any]
    """Wait for the other processes."""

    def summary(self) -> dict[str, Any]:
        """What the model folder says of a member."""
        share = {} if self.network_share is None else {"network_share": self.network_share}
        return {
            "seed": self.seed,
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
            "metrics": self.metrics,
            **share,
        }


def join(weights: list[dict[str, Tensor]], config: ModelConfig) -> Network:
    """A network with the given weights of each member.

    Args:
        weights: as many as `config.members`.
        config: of the whole.
    """
    network = build_network(config)
    for member, own in zip(members_of(network), weights, strict=True):
        member.load_state_dict(own)
    return network.eval()


@torch.inference_mode()
def validation_metrics(network: Network, store: SequenceStore, training: TrainConfig) -> dict[str, float]:
    """The validation loss and metrics of a network, under the names of a training's.

    Args:
        network: in evaluation mode.
        store: the sequence store.
        training: names the metrics and the loss.
    """
    rows = store.targets("vali")
    batches = EvaluationBatches(store, network.config.sequences, rows, training.batch_size)
    found = [(network(batch)[0].float(), batch[LABEL]) for batch in batches]
    logits, labels = (torch.cat(column) for column in zip(*found, strict=True))
    probabilities = logits.double().softmax(dim=-1).numpy()
    chosen = classification_metrics(labels.numpy(), probabilities, training.metric_choices)
    loss = float(Objective(training)(logits, labels))
    return {"val_loss": loss} | {f"val/{name}": value for name, value in chosen.items()}


def spread(trained: list[Trained], monitor: str) -> dict[str, float]:
    """How far the members differ in a validation metric; empty for one network."""
    if len(trained) < 2:
        return {}
    values = [member.metrics[monitor] for member in trained]
    name = f"members/{monitor.removeprefix('val/')}"
    return {
        f"{name}_mean": float(np.mean(values)),
        f"{name}_sd": float(np.std(values, ddof=1)),
        f"{name}_min": min(values),
        f"{name}_max": max(values),
    }


def key_figure(trained: list[Trained], monitor: str, value: float) -> str:
    """The line of the stage table: the metric, and the members' where there are several."""
    if len(trained) < 2:
        return f"{monitor} {value:.4f}"
    values = [member.metrics[monitor] for member in trained]
    sd = np.std(values, ddof=1)
    return (
        f"{monitor} {value:.4f} ({len(trained)} members: {min(values):.4f} to {max(values):.4f}, sd {sd:.4f})"
    )
