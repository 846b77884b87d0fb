"""Messages and log entries of a running training."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from tsa_model.batch import LABEL
from tsa_model.progress import report

REPORT_EVERY_S = 1.0


def in_terminal() -> bool:
    """Whether a person is watching, for whom Lightning draws its bar."""
    return sys.stdout.isatty()


class ProgressLines(pl.Callback):
    """Prints a progress line about once a second, and one at the end of every epoch; none in a terminal.

    Args:
        monitor: the validation metric to show.
        member: which of the members is trained, from 0.
        members: how many there are.
    """

    def __init__(self, monitor: str, member: int = 0, members: int = 1) -> None:
        self.monitor = monitor
        self.member = member
        self.members = members
        self._last = 0.0

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._last >= REPORT_EVERY_S:
            self._report(trainer, batch_idx + 1)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._report(trainer, int(trainer.num_training_batches))

    def _report(self, trainer: pl.Trainer, n_batches: int) -> None:
        if not trainer.is_global_zero or in_terminal():
            return
        self._last = time.monotonic()
        per_epoch, epochs = int(trainer.num_training_batches), int(trainer.max_epochs or 0)
        note = f"epoch {trainer.current_epoch + 1}/{epochs}"
        if self.members > 1:
            note = f"member {self.member + 1}/{self.members}, {note}"
        if self.monitor in trainer.callback_metrics:
            note += f", {self.monitor} {float(trainer.callback_metrics[self.monitor]):.4f}"
        done = (self.member * epochs + trainer.current_epoch) * per_epoch + n_batches
        report(done, self.members * epochs * per_epoch, "step", note)


class Throughput(pl.Callback):
    """Counts this process's training rows and the seconds between the first and last batch of each epoch."""

    def __init__(self) -> None:
        self.rows = 0
        self.seconds = 0.0
        self.feeding_s = 0.0
        """Part of `seconds` between two steps: reading the next batch, and Lightning's own work."""
        self._mark: float | None = None

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._mark is not None:
            self.feeding_s += now - self._mark
            self.seconds += now - self._mark
        self._mark = now

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        assert self._mark is not None
        self.seconds += now - self._mark
        self.rows += len(batch[LABEL])
        self._mark = now

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = None

    @property
    def rows_per_second(self) -> float:
        """Rows of this process per second; 0 when nothing was trained."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def feeding_share(self) -> float:
        """Share of the time between two steps; 0 when nothing was trained."""
        return self.feeding_s / self.seconds if self.seconds else 0.0
