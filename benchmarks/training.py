"""How fast training runs, and how much of it is feeding.

    python benchmarks/training.py [--orders 20000] [--batch-size 1024] [--sizes demo full] [--repeats 5]

Simulates the demo's orders, trains one epoch at a time on all training targets and prints per network size
rows per second, by the clock and by the processor's seconds of all threads, each as the median of the repeats
with the least and the most; the share of the time that passes between two training steps: reading the next
batch from the store, and Lightning's own work; and how much of that is the store's. `--config` takes another
description that has a simulation, for instance a former version's, to compare with that version.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from tsa_model.batch import LABEL
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training import train_model
from tsa_model.training.feeding import ShuffledBatches, TrainBatches


class ProcessorSeconds(pl.Callback):
    """Rows and processor's seconds between the first and last batch of an epoch."""

    def __init__(self) -> None:
        self.rows = 0
        self.started = self.ended = 0.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Start the clock at the first batch."""
        if batch_idx == 0:
            self.started = time.process_time()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop it after every one: the last one counts."""
        self.rows += len(batch[LABEL])
        self.ended = time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--orders", type=int, default=20_000, help="simulated orders")
    parser.add_argument("--batch-size", type=int, default=1024, help="rows per step")
    parser.add_argument("--sizes", nargs="+", choices=["demo", "full"], default=["demo"])
    parser.add_argument("--config", default="demo", help="run description")
    parser.add_argument("--repeats", type=int, default=3, help="epochs, each of a training of its own")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = describe(options.config, options.orders, options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        assert run.simulation is not None
        store = SequenceStore.build(simulate_orders(run.simulation), run.dataset, Path(folder) / "store")
        seconds = reading_seconds(store, options.batch_size)
        for size in options.sizes:
            model = run.model if size == "demo" else ModelSettings(moe_eval="deterministic")
            results = [
                train(store, run.changed(model=model), Path(folder) / f"{size}_{k}")
                for k in range(options.repeats)
            ]
            by_clock, by_processor, feeding = (list(column) for column in zip(*results, strict=True))
            share = seconds * statistics.median(by_clock) / len(store.targets("train"))
            print(
                f"{size:5} B = {options.batch_size}, {options.threads} threads: {spread(by_clock)} rows/s;"
                f" {spread(by_processor)} rows per processor's second; between steps"
                f" {statistics.median(feeding):.1%}, reading {share:.1%} of the time;"
                f" load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def train(store: SequenceStore, run: RunConfig, folder: Path) -> tuple[float, float, float]:
    """Rows a second, rows per processor's second and the share of feeding of one epoch."""
    processor = ProcessorSeconds()
    with contextlib.redirect_stdout(io.StringIO()):
        result = train_model(store.directory, run, folder / "model", folder / "log", callbacks=[processor])
    rate = processor.rows / (processor.ended - processor.started)
    return result["rows_per_second"], rate, result["feeding_share"]


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def describe(config: str, orders: int, batch_size: int) -> RunConfig:
    """A description, every training row kept, one epoch."""
    content = RunConfig.load(config).model_dump()
    content["simulation"]["orders"] = orders
    content["dataset"]["target_positive_rate"] = None
    content["training"] |= {"batch_size": batch_size, "max_epochs": 1, "checkpoint_every_steps": 10**6}
    return RunConfig.model_validate(content)


def reading_seconds(store: SequenceStore, batch_size: int) -> float:
    """Seconds to read one epoch's batches and do nothing with them."""
    batches = TrainBatches(store, "dual", ShuffledBatches(store.targets("train"), batch_size, seed=0))
    started = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
