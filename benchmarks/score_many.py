"""Very many orders, raw Parquet to score files, as `tsa score` does it: seconds, memory, the same bytes.

    python benchmarks/score_many.py --model runs/latest/stages/generate-scores/scores/model [--orders 1000000]
        [--shards 1 4] [--repeat 5] [--events FILE] [--former FOLDER --former-model MODEL]

The orders are the simulator's, all of them are scored, and a sample of the scores is computed again.
`--former` names the folder of another version, with an environment of its own in `.venv`; it takes turns with
this one on the same orders. Its model folder must be its own, of the same run description.
Each figure is the middle one of the repetitions, with the smallest and the largest in brackets. Memory is
that of the largest process, and the ratios are those of the runs that followed each other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tsa_model.files import sha256
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders

ROOT = Path(__file__).parents[1]
FILES = ("score_file.csv", "scores.parquet")
FORMER = "former version"


class Cost(NamedTuple):
    """What one run took."""

    seconds: float
    processor_s: float
    mib: float


@dataclass
class Way:
    """A program and its arguments, and what each of its runs took."""

    name: str
    python: str
    root: Path
    arguments: list[str]
    costs: list[Cost] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)

    def run(self, events: Path, output: Path) -> None:
        """Score the orders once, in a process of its own."""
        command = [self.python, "-m", "tsa_model.score", "--events", str(events), "--orders", "all"]
        command += ["--output", str(output), *self.arguments]
        log, began = output.with_suffix(".log"), time.perf_counter()
        with log.open("wb") as said:
            environment = {**os.environ, "PYTHONPATH": str(self.root)}
            process = subprocess.Popen(command, cwd=self.root, env=environment, stdout=said, stderr=said)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{self.name}: {' '.join(command)}\n{log.read_text(errors='replace')[-2000:]}")
        seconds = time.perf_counter() - began
        self.costs.append(Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
        self.digests.add(" ".join(sha256(output / name)[:12] for name in FILES))

    def row(self) -> str:
        """The way's line of the table."""
        cells = [in_words(values) for values in zip(*self.costs, strict=True)]
        return f"| {' | '.join([self.name, *cells, ' / '.join(sorted(self.digests))])} |"


def in_words(values: Sequence[float], digits: int = 0) -> str:
    """The middle one of some values, and their ends."""
    middle, low, high = (f"{x:.{digits}f}" for x in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def main() -> None:
    """Score the orders in every way in turn and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument(
        "--events", type=Path, help="orders made before; the file is made where there is none"
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--former", type=Path)
    parser.add_argument("--former-model", type=Path)
    options = parser.parse_args()
    if (options.former is None) != (options.former_model is None):
        parser.error("--former and --former-model belong together: each version reads its own model folder")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = (options.events or folder / "orders.parquet").resolve()
        if not events.exists():
            write_orders(options.orders, events)
        print(f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} processors", flush=True)
        compare(ways(options), options.repeat, events, folder)


def write_orders(n_orders: int, path: Path) -> None:
    """Simulate orders as the demo's."""
    simulation = RunConfig.load("demo").simulation
    assert simulation is not None
    simulate_orders(simulation.changed(orders=n_orders)).to_parquet(path)


def ways(options: argparse.Namespace) -> list[Way]:
    """The former version, where there is one, and this one with each number of shards."""
    model = ["--model", str(options.model.resolve())]
    found = [
        Way(f"{shards} shards", sys.executable, ROOT, [*model, "--shards", str(shards)])
        for shards in options.shards
    ]
    if options.former is None:
        return found
    root = options.former.resolve()
    own_model = ["--model", str(options.former_model.resolve())]
    return [Way(FORMER, str(root / ".venv/bin/python"), root, own_model), *found]


def compare(ways: list[Way], repeat: int, events: Path, folder: Path) -> None:
    """Let all ways take turns, and print a table and each way's ratios to the first."""
    for turn in range(repeat):
        for number, way in enumerate(ways):
            way.run(events, folder / f"{turn}-{number}")
            print(f"{turn + 1}/{repeat} {way.name}: {in_words(way.costs[-1][:1])}", file=sys.stderr)
    print("| | seconds | processor's s | MiB | scores |", "|---|--:|--:|--:|---|", sep="\n")
    for way in ways:
        print(way.row())
    first, *others = ways
    for way in others:
        ratios = [
            [now / before for before, now in zip(*pair, strict=True)]
            for pair in zip(zip(*first.costs, strict=True), zip(*way.costs, strict=True), strict=True)
        ]
        words = zip(("seconds", "processor's s", "MiB"), ratios, strict=True)
        print(f"{way.name} / {first.name}:", "; ".join(f"{name} {in_words(r, 2)}" for name, r in words))


if __name__ == "__main__":
    main()
