"""CPU seconds and memory of monitoring N scored orders with their raw orders; see `benchmarks/monitoring.py`.

The reference is a small run on the simulator with untrained weights; the scores are drawn. Both are files,
as in production. Exits with status 1 above 60 CPU seconds or 1 GiB per million orders.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAYS = 120
MOST_CPU_S, MOST_MIB = 60.0, 1024


def make_reference(folder: Path) -> Path:
    """A run's scores folder: the real stages, untrained weights, the gate's checks taken as passed."""
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root), str(root / "tests")]  # tests/components must not hide components
    from support.chain import make_chain, read_chain

    make_chain(folder)
    return Path(read_chain(folder).places.scores)


def write_production(folder: Path, reference: Path, n_orders: int) -> None:
    """Raw orders of the simulator, and scores drawn so that frauds rank high."""
    from tsa_model.scoring.files import read_score_folder
    from tsa_model.simulation import SimulationConfig, simulate_orders

    digest = read_score_folder(reference).model_digest
    start = datetime(2025, 4, 24, tzinfo=UTC)
    frame = simulate_orders(SimulationConfig(orders=n_orders, days=DAYS, start=start, unknown_label_days=0))
    frame.to_parquet(folder / "events.parquet")
    generator, label = np.random.default_rng(0), frame["label"].fillna(0).to_numpy().astype(np.int8)
    probability = 1 / (1 + np.exp(-generator.normal(4.0 * label - 4.0, 1.5)))
    table = pa.table(
        {
            "order_id": frame["order_id"].to_numpy(),
            "order_time": pa.array(frame["order_time"].to_numpy() * 1_000_000, pa.timestamp("us", tz="UTC")),
            "score": probability.astype(np.float32),
            "calibrated_probability": probability,
            "label": label,
            "model_digest": pa.array([digest] * n_orders, pa.string()).dictionary_encode(),
        }
    )
    pq.write_table(table, folder / "scores.parquet")


def measure(reference: Path, folder: Path) -> None:
    """Monitor in this process, and print what it cost."""
    from tsa_model.monitoring.stage import monitor_scores
    from tsa_model.settings.run import RunConfig

    began = time.monotonic()
    out = folder / "out"
    monitor_scores(
        reference,
        [folder / "scores.parquet"],
        RunConfig.load("demo"),
        out / "monitoring.json",
        out / "monitoring.html",
        events=str(folder / "events.parquet"),
    )
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in both)
    # A new process's `ru_maxrss` begins with that of the process that started it; VmHWM is its own.
    status = Path("/proc/self/status").read_text()
    mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"MEASURED {cpu} {mib} {time.monotonic() - began}")


def main() -> None:
    """Prepare the files, then measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("orders", type=int, nargs="?", default=1_000_000, help="how many (1,000,000)")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "chain").mkdir()
        reference = make_reference(folder / "chain")
        write_production(folder, reference, options.orders)
        words = [sys.executable, __file__, "--measure", str(reference), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        line = next(line for line in done.stdout.splitlines() if line.startswith("MEASURED"))
        cpu, mib, wall = map(float, line.split()[1:])
        cost = f"{cpu:.1f} CPU s, {wall:.1f} s elapsed, {mib:,.0f} MiB"
        print(f"  {options.orders:,} orders, {DAYS} days: {cost}")
        scale = max(options.orders / 1e6, 0.1)
        sys.exit(0 if cpu <= MOST_CPU_S * scale and mib <= MOST_MIB else 1)


if __name__ == "__main__":
    main()
