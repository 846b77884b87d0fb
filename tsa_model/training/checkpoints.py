"""Resume points and the best weights: when they are written, and how a file becomes whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor
from typing_extensions import override

from tsa_model.files import atomic_file

BEST = "best.ckpt"
LAST = "last.ckpt"


class BestAndLast(Checkpoint):
    """Keeps the best epoch's weights and a resume point; stops when the best is `patience` epochs old.

    The resume point is written every `every_steps` batches, at the end of every epoch and on SIGTERM. Writing
    it is the last step of an epoch, so it holds the decisions of that epoch. A resumed run repeats the work
    that came after it, with the same result.

    Args:
        folder: where the two files lie.
        monitor: the metric, higher is better.
        patience: epochs without a better value after which training stops; 0 = never.
        every_steps: batches between two resume points within an epoch.
        averaged: the weights to keep are those of `AveragedWeights`.
    """

    def __init__(
        self, folder: Path, monitor: str, patience: int, every_steps: int, averaged: bool = False
    ) -> None:
        self.folder = folder
        self.averaged = averaged
        self.monitor = monitor
        self.patience = patience
        self.every_steps = every_steps
        self.best_value = float("-inf")
        self.best_epoch = -1
        self.epochs_since_best = 0

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "epochs_since_best": self.epochs_since_best,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value = state_dict["best_value"]
        self.best_epoch = state_dict["best_epoch"]
        self.epochs_since_best = state_dict["epochs_since_best"]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_patience_is_over(trainer)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Between two accumulated batches the gradients are half summed, and no checkpoint holds those.
        n_done = batch_idx + 1
        stepped = n_done % trainer.accumulate_grad_batches == 0
        due = n_done % self.every_steps == 0 or trainer.received_sigterm
        if due and stepped and n_done < trainer.num_training_batches:
            self._save_resume_point(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = float(trainer.callback_metrics[self.monitor])
        if value > self.best_value:
            self.best_value, self.best_epoch, self.epochs_since_best = value, trainer.current_epoch, 0
            # Lightning puts the average into whole checkpoints only.
            trainer.save_checkpoint(self.folder / BEST, weights_only=not self.averaged)
        else:
            self.epochs_since_best += 1
        self._stop_if_patience_is_over(trainer)
        self._save_resume_point(trainer)

    def _save_resume_point(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)

    def _stop_if_patience_is_over(self, trainer: pl.Trainer) -> None:
        if self.patience and self.epochs_since_best >= self.patience:
            trainer.should_stop = True


class WholeFileIO(CheckpointIO):
    """Checkpoint files that are whole or absent, and are never unpickled."""

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            size_mb = content.getbuffer().nbytes / 1e6
            raise OSError(
                error.errno,
                f"cannot write the checkpoint {path} ({size_mb:.1f} MB): {error.strerror};"
                " make room and start again, training resumes from the checkpoint before",
            ) from error

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged file makes torch.load raise almost anything
            raise ValueError(
                f"the checkpoint {path} cannot be read ({error}); delete it to train from the start"
            ) from error

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def weights_of(best: Path) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint, by their names in the network."""
    state = WholeFileIO().load_checkpoint(best)["state_dict"]
    prefix = "network."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
