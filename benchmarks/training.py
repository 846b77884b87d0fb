"""How fast training runs, and how much of it is feeding.

    python benchmarks/training.py [--orders 20000] [--batch-size 1024] [--sizes demo full]

Simulates the demo's orders, trains one epoch per network size on all training targets and prints rows per
second, and the share of the time that passes between two training steps: reading the next batch from the
store, and Lightning's own work. `reading` is the part of the store alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training import train_model
from tsa_model.training.feeding import ShuffledBatches, TrainBatches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--orders", type=int, default=20_000, help="simulated orders")
    parser.add_argument("--batch-size", type=int, default=1024, help="rows per step")
    parser.add_argument("--sizes", nargs="+", choices=["demo", "full"], default=["demo"])
    options = parser.parse_args()
    run = describe(options.orders, options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        assert run.simulation is not None
        store = SequenceStore.build(simulate_orders(run.simulation), run.dataset, Path(folder) / "store")
        seconds = reading_seconds(store, options.batch_size)
        for size in options.sizes:
            model = run.model if size == "demo" else ModelSettings(moe_eval="deterministic")
            with contextlib.redirect_stdout(io.StringIO()):
                result = train_model(
                    store.directory,
                    run.changed(model=model),
                    Path(folder) / size,
                    Path(folder) / f"{size}_log",
                )
            n_rows = len(store.targets("train"))
            print(
                f"{size:5} B = {options.batch_size}: {result['rows_per_second']:,.0f} rows/s; between steps"
                f" {result['feeding_share']:.1%}, reading"
                f" {seconds * result['rows_per_second'] / n_rows:.1%} of the time"
            )


def describe(orders: int, batch_size: int) -> RunConfig:
    """The demo, every training row kept, one epoch."""
    content = RunConfig.load("demo").model_dump()
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
