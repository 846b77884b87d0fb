"""One training of a search: its store, its model, its figure; and scores of the untouched weeks."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from typing_extensions import override

from tsa_model.network.checkpoint import load_model
from tsa_model.sealed import digest_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model

ROWS = 2048
"""Orders scored at once."""
OnEpoch = Callable[[int, float], None]
"""Called with an epoch, from 0, and its validation figure; may raise to end the training."""


class EachEpoch(pl.Callback):
    """Tells somebody the validation figure of every epoch.

    Args:
        monitor: the figure.
        tell: whom.
    """

    def __init__(self, monitor: str, tell: OnEpoch) -> None:
        self._monitor, self._tell = monitor, tell

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell(trainer.current_epoch, float(trainer.callback_metrics[self._monitor]))


@dataclass(frozen=True)
class Workplace:
    """Where the trainings of a search lie.

    Args:
        events: raw orders.
        folder: gets `stores/`, one per way to prepare them, and `trials/`.
    """

    events: Any
    folder: Path

    def store(self, run: RunConfig) -> SequenceStore:
        """The prepared orders of a description; made once."""
        place = self.folder / "stores" / digest_of(run.dataset.as_prepared())[:16]
        if place.exists():
            return SequenceStore.open(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        return SequenceStore.build(self.events, run.dataset, place)

    def model(self, name: str) -> Path:
        """The model folder of a training."""
        return self.folder / "trials" / name / "model"

    def train(self, name: str, run: RunConfig, seed: int, on_epoch: OnEpoch | None = None) -> float:
        """Train one network from the beginning.

        Args:
            name: of the training; a folder of that name is replaced.
            run: with the inner weeks as its split.
            seed: of the training.
            on_epoch: is told every epoch's figure.

        Returns:
            The validation figure of the best epoch.
        """
        place = self.folder / "trials" / name
        shutil.rmtree(place, ignore_errors=True)
        monitor = f"val/{run.training.primary_metric}"
        single = run.changed(training=run.training.changed(members=1))
        callbacks = [] if on_epoch is None else [EachEpoch(monitor, on_epoch)]
        with contextlib.redirect_stdout(io.StringIO()):
            store = self.store(run)
            result = train_model(
                store.directory, single, place / "model", place / "log", seed=seed, callbacks=callbacks
            )
        shutil.rmtree(place / "log")
        return float(result[monitor])

    @torch.inference_mode()
    def scores(self, name: str, run: RunConfig, period: str) -> NDArray[np.float64]:
        """Logarithms of the odds of fraud of a period's targets, [N]."""
        store, network = self.store(run), load_model(self.model(name))
        rows, found = store.targets(period), []
        for first in range(0, len(rows), ROWS):
            batch = store.batch_rows(rows[first : first + ROWS], network.config.sequences)
            logits = network(batch)[0].double()
            found.append((logits[:, 1] - logits[:, 0]).numpy())
        return np.concatenate(found)
