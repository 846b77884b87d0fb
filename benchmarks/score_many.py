"""Very many orders, raw Parquet to score files, as `tsa score` does it: seconds, memory, the same bytes.

    python benchmarks/score_many.py --model runs/latest/stages/generate-scores/scores/model [--orders 1000000]
        [--shards 1 4] [--program "OTHER/.venv/bin/python OTHER/pipeline.py"] [--events FILE]

The orders are the simulator's, all of them are scored, and a sample of the scores is computed again.
`--program` runs another version, whose model folder is then to be given. Memory is of the largest process.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tsa_model.files import sha256
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders

ROOT = Path(__file__).parents[1]
FILES = ("score_file.csv", "scores.parquet")


def main() -> None:
    """Score the orders with each number of shards and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument(
        "--events", type=Path, help="orders made before; the file is made where there is none"
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--program", default=f"{sys.executable} {ROOT / 'pipeline.py'}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = options.events or folder / "orders.parquet"
        if not events.exists():
            write_orders(options.orders, events)
        print(f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} processors")
        print("| shards | seconds | processor's s | MiB | scores |", "|--:|--:|--:|--:|---|", sep="\n")
        for shards in options.shards:
            print(f"| {shards} | {scored(options, shards, events, folder / str(shards))} |", flush=True)


def write_orders(n_orders: int, path: Path) -> None:
    """Simulate orders as the demo's."""
    simulation = RunConfig.load("demo").simulation
    assert simulation is not None
    simulate_orders(simulation.changed(orders=n_orders)).to_parquet(path)


def scored(options: argparse.Namespace, shards: int, events: Path, output: Path) -> str:
    """Cells of the table."""
    command = [*shlex.split(options.program), "score", "--model", str(options.model), "--events", str(events)]
    command += ["--orders", "all", "--output", str(output)] + (
        ["--shards", str(shards)] if shards > 1 else []
    )
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    digests = " ".join(sha256(output / name)[:12] for name in FILES)
    return f"{seconds:.0f} | {cpu:.0f} | {after.ru_maxrss / 1024:.0f} | {digests}"


if __name__ == "__main__":
    main()
