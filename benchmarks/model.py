"""The legacy's algorithm against the fast form: time and memory of evaluation and training steps.

    python benchmarks/model.py --threads 2 --json model.json
    python benchmarks/model.py --threads 1 --clock cpu             # on a machine that others use too
    python benchmarks/model.py --threads 2 --busy 1                # with one core taken by a busy process

The yardstick is the reference with its tokens in float32, as the legacy makes them: the reference itself
makes them in float64 while it trains, which the legacy never did, and takes twice as long.

The default configuration (53 categorical and 47 numerical features, 51 orders, table width 128, 6 + 6 layers,
5 experts) with random weights and ragged histories. Both sides run alternately in one process; times are
medians, and the spread is that of the rounds' ratios, smallest to largest. Memory is the growth of the
process's peak over one call, measured in a fresh child process per case, and on a GPU the allocator's peak.
The share of the machine's rate compares the fast network's useful multiplications with what a large matrix
product reaches in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from default_network import configuration
from model_cases import call_of, gemm_flops, make_batch, seconds, useful_flops, yardstick

from tsa_model import build_network

IMPLEMENTATIONS = ("yardstick", "fast")


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def timed_case(sequences: str, mode: str, n_rows: int, args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds of the yardstick and the fast form, run alternately."""
    config = configuration(sequences, args.moe_eval)
    torch.manual_seed(0)
    fast = build_network(config, "fast").to(args.device)
    networks = {"yardstick": yardstick(fast), "fast": fast}
    batch = {name: tensor.to(args.device) for name, tensor in make_batch(config, n_rows).items()}
    calls = {name: call_of(network, batch, mode) for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(args.rounds):
        for name, call in calls.items():
            times[name].append(seconds(call, args.device, CLOCKS[args.clock]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    case = {"sequences": sequences, "mode": mode, "rows": n_rows, **medians}
    case["speedup"] = medians["yardstick"] / medians["fast"]
    ratios = [slow / quick for slow, quick in zip(times["yardstick"], times["fast"], strict=True)]
    case["speedup_range"] = [min(ratios), max(ratios)]
    if mode == "eval":
        case["gemm_share"] = useful_flops(config, batch) / medians["fast"] / args.gemm_flops
    return case


def _peak_growth_mb(
    implementation: str, sequences: str, mode: str, n_rows: int, args: argparse.Namespace, results: Any
) -> None:
    torch.set_num_threads(args.threads)
    config = configuration(sequences, args.moe_eval)
    network = build_network(config, "fast").to(args.device)
    if implementation == "yardstick":
        network = yardstick(network)
    small = {name: x.to(args.device) for name, x in make_batch(config, 2).items()}
    batch = {name: x.to(args.device) for name, x in make_batch(config, n_rows).items()}
    call_of(network, small, mode)()  # loads libraries, allocates the gradients
    if args.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call_of(network, batch, mode)()
        results.put((torch.cuda.max_memory_allocated() - before) / 1e6)
        return
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.002)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    call_of(network, batch, mode)()
    done.set()
    watcher.join()
    results.put((peak[0] - before) / 1e6)


def memory_of(implementation: str, sequences: str, mode: str, n_rows: int, args: argparse.Namespace) -> float:
    """Peak extra memory of one call in MB, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(
        target=_peak_growth_mb, args=(implementation, sequences, mode, n_rows, args, results)
    )
    process.start()
    value = results.get()
    process.join()
    return float(value)


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", nargs="+", default=["single", "dual"], choices=["single", "dual"])
    parser.add_argument("--modes", nargs="+", default=["eval", "train"], choices=["eval", "train"])
    parser.add_argument("--rows", nargs="+", type=int, default=[32, 256, 1024], help="batch sizes B")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds per case")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--moe-eval", default="legacy", choices=["legacy", "deterministic"])
    parser.add_argument(
        "--clock",
        default="wall",
        choices=sorted(CLOCKS),
        help="cpu: of all threads, which others disturb less",
    )
    parser.add_argument("--busy", type=int, default=0, help="processes that take a core each meanwhile")
    parser.add_argument("--no-memory", action="store_true", help="skip the memory measurement")
    parser.add_argument(
        "--largest-training", type=int, default=256, help="skip training above this many rows"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.gemm_flops = gemm_flops(args.device)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {args.device}, float32,"
        f" moe_eval={args.moe_eval}, {args.clock} clock, {args.rounds} rounds"
    )
    print(
        f"matrix product: {args.gemm_flops / 1e9:.0f} GFLOP/s; load {os.getloadavg()[0]:.1f} on"
        f" {os.cpu_count()} cores, {args.busy} busy processes;"
        f" allocator {os.environ.get('LD_PRELOAD') or 'libc'}"
    )
    print(
        "| network | mode | B | yardstick s | fast s | speed-up | spread | memory MB | ratio | of GEMM rate |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with busy(args.busy):
        cases = run_cases(args)
    if args.json:
        args.json.write_text(json.dumps(cases, indent=2) + "\n")


@contextlib.contextmanager
def busy(n: int) -> Iterator[None]:
    """Processes that compute without end inside the block."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_cases(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every case, a line each."""
    cases = []
    for sequences in args.sequences:
        for mode in args.modes:
            for n_rows in args.rows:
                if mode == "train" and n_rows > args.largest_training:
                    continue
                case = timed_case(sequences, mode, n_rows, args)
                memory = ratio = "-"
                if not args.no_memory:
                    used = {i: memory_of(i, sequences, mode, n_rows, args) for i in IMPLEMENTATIONS}
                    case["memory_mb"] = used
                    memory = f"{used['yardstick']:.0f} → {used['fast']:.0f}"
                    ratio = f"1/{used['yardstick'] / used['fast']:.1f}"
                low, high = case["speedup_range"]
                share = f"{case['gemm_share']:.0%}" if "gemm_share" in case else "-"
                print(
                    f"| {sequences} | {mode} | {n_rows} | {case['yardstick']:.4f} | {case['fast']:.4f} "
                    f"| {case['speedup']:.1f} | {low:.1f} to {high:.1f} | {memory} | {ratio} | {share} |",
                    flush=True,
                )
                cases.append(case)
    return cases


if __name__ == "__main__":
    main()
