"""Run in every process by torch.distributed.run: train one step and save the gradients it would apply.

Arguments: store folder, run description (JSON file), file for the gradients.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors.torch import save_file

from tsa_model import MixtureOfExperts
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.training import runner


class FirstGradients(pl.Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for module in pl_module.modules():
            if isinstance(module, MixtureOfExperts):
                module.capacity_factor_train = float(10**6)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.is_global_zero:
            gradients = {n: p.grad.clone() for n, p in pl_module.named_parameters() if p.grad is not None}
            save_file(gradients, self.path)
        trainer.should_stop = True
        trainer.limit_val_batches = 0


def save_first_gradients(store_dir: str, run: RunConfig, path: str) -> None:
    store = SequenceStore.open(store_dir)
    with tempfile.TemporaryDirectory() as log_dir:
        trainer = runner.create_trainer(run.training, Path(log_dir), [FirstGradients(Path(path))])
        trainer.limit_train_batches = 1
        runner._fit(trainer, store, runner.model_config(run, store), run.training, Path("none"))


if __name__ == "__main__":
    save_first_gradients(sys.argv[1], RunConfig.load(sys.argv[2]), sys.argv[3])
