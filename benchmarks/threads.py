"""How threads that wait for each other fare beside other programs: `python benchmarks/threads.py`.

A process per line, because GNU OpenMP reads how long its threads spin once, when it is loaded. Each runs
the default configuration's training step or evaluation, alone and beside processes that take a core each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from model import busy

SPINS = {"library": None, "briefly": "1000", "long": "20000", "none": "0"}


def measure(sequences: str, mode: str, n_rows: int, rounds: int, threads: int) -> list[tuple[float, float]]:
    """Seconds and processor's seconds of each round in this process."""
    import torch
    from default_network import configuration
    from model_cases import call_of, make_batch

    from tsa_model import build_network

    torch.set_num_threads(threads)
    config = configuration(sequences)
    call = call_of(build_network(config, "fast"), make_batch(config, n_rows), mode)
    call()
    found = []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return found


def in_a_process(args: argparse.Namespace, spins: str | None, threads: int) -> list[tuple[float, float]]:
    """`measure` in a process of its own, whose threads spin that long."""
    environment = {**os.environ, **({} if spins is None else {"GOMP_SPINCOUNT": spins})}
    command = [sys.executable, __file__, "--child", str(threads), "--mode", args.mode]
    command += ["--rows", str(args.rows), "--rounds", str(args.rounds), "--sequences", args.sequences]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return [(wall, processor) for wall, processor in json.loads(out)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", default="single", choices=["single", "dual"])
    parser.add_argument("--mode", default="train", choices=["eval", "train"])
    parser.add_argument("--rows", type=int, default=64, help="batch size B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--busy", nargs="+", type=int, default=[0, 1, 4], help="processes that take a core each"
    )
    parser.add_argument("--spins", nargs="+", default=list(SPINS), choices=list(SPINS))
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.sequences, args.mode, args.rows, args.rounds, args.child)))
        return
    print(f"{args.sequences}, {args.mode}, B = {args.rows}; load {os.getloadavg()[0]:.1f}")
    print("| busy processes | threads | spin | seconds | spread | processor's s | speed-up |")
    print("|---|---|---|---|---|---|---|")
    for n_busy in args.busy:
        with busy(n_busy):
            alone = None
            for spin, threads in [("briefly", 1), *((each, 2) for each in args.spins)]:
                rounds = in_a_process(args, SPINS[spin], threads)
                walls = [wall for wall, _ in rounds]
                seconds = statistics.median(walls)
                alone = alone or seconds
                print(
                    f"| {n_busy} | {threads} | {SPINS[spin] or 'library'} | {seconds:.3f}"
                    f" | {min(walls):.3f} to {max(walls):.3f}"
                    f" | {statistics.median(p for _, p in rounds):.3f} | {alone / seconds:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
