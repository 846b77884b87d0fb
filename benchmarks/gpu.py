"""The form for accelerators on one card: time, memory and share of the card's rate, and a whole training.

    python benchmarks/gpu.py --json gpu.json                       # a card; at most eight minutes
    python benchmarks/gpu.py --device cpu --rows 8 --no-trainer    # does the script itself run?

The default configuration with random weights and ragged histories, as in `model.py`. Every case is timed
against the reference in float32 on the same card, alternating, medians of at least five rounds. A case is
left out where it does not fit the memory, and the reference where one call takes more than ten seconds.
`TF32` lets matrix products round their inputs to ten bits; `bf16` is autocast. The share of the peak compares
the useful multiplications (`model.useful_flops`, three times them in training) with what a large matrix
product reaches in the same precision. The last table is `training.py`'s: rows a second through the trainer,
feeding included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from default_network import configuration
from model_cases import call_of, make_batch, seconds, useful_flops

from tsa_model import Network, build_network
from tsa_model.batch import Batch

PRECISIONS = ("float32", "TF32", "bf16")
SLOWEST_S = 10.0
"""A longer call is not repeated, and no larger batch is tried."""
BUDGET_S = 330.0
"""After this many seconds only the trainer is left to do."""


@contextlib.contextmanager
def precision(name: str, device: str) -> Iterator[None]:
    """Compute in a precision inside the block."""
    torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
    try:
        with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def peak_flops(device: str) -> float:
    """Operations per second of a large matrix product in the precision in force."""
    n = 8192 if device == "cuda" else 512
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def memory_mb(call: Callable[[], None], device: str) -> float:
    """Memory one call takes beyond what is held before it; 0 on a processor."""
    if device != "cuda":
        return 0.0
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def attempt(network: Network, batch: Batch, mode: str, name: str, device: str) -> Callable[[], None] | None:
    """A call in a precision, tried once; None where it does not fit."""
    call = call_of(network, batch, mode)

    def run() -> None:
        network.train(mode == "train")
        with precision(name, device):
            call()

    try:
        run()
    except torch.OutOfMemoryError:
        network.zero_grad()
        torch.cuda.empty_cache()
        return None
    return run


def cases_of(sequences: str, args: argparse.Namespace, deadline: float) -> Iterator[dict[str, Any]]:
    """Every mode, batch size and precision of a network."""
    config = configuration(sequences)
    torch.manual_seed(0)
    static = build_network(config, "static").to(args.device)
    reference = static.twin("reference")
    for mode in ("eval", "train"):
        too_slow = False
        for n_rows in args.rows:
            batch = {name: x.to(args.device) for name, x in make_batch(config, n_rows).items()}
            calls = {}
            if not too_slow:
                calls["reference"] = attempt(reference, batch, mode, "float32", args.device)
            calls |= {name: attempt(static, batch, mode, name, args.device) for name in PRECISIONS}
            times: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(args.rounds):
                for name, call in calls.items():
                    slow = bool(times[name]) and times[name][-1] > SLOWEST_S
                    if call is not None and not slow and time.perf_counter() < deadline:
                        times[name].append(seconds(call, args.device))
            useful = useful_flops(config, batch) * (1 if mode == "eval" else 3)
            own = times.get("reference")
            too_slow = not own or own[0] > SLOWEST_S
            for name, call in calls.items():
                if call is None or not times[name]:
                    continue
                with precision(name, args.device):
                    rate = peak_flops(args.device)
                median = statistics.median(times[name])
                yield {
                    "sequences": sequences,
                    "mode": mode,
                    "rows": n_rows,
                    "form": "reference" if name == "reference" else f"static, {name}",
                    "seconds": median,
                    "spread": (max(times[name]) - min(times[name])) / median,
                    "speedup": statistics.median(own) / median if own else None,
                    "memory_mb": memory_mb(call, args.device),
                    "share_of_peak": useful / median / rate,
                }
            if time.perf_counter() > deadline:
                return


def trainer(args: argparse.Namespace) -> str:
    """What `training.py` prints, from a process of its own."""
    script = Path(__file__).with_name("training.py")
    command = [sys.executable, str(script), "--batch-size", "1024", "--sizes", "demo", "full"]
    command += ["--orders", str(args.orders)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=140).stdout


def main() -> None:
    """Run the cases and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--rows", nargs="+", type=int, default=[256, 1024, 4096], help="batch sizes B")
    parser.add_argument("--sequences", nargs="+", default=["dual", "single"], choices=["single", "dual"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--orders", type=int, default=60_000, help="simulated orders the trainer learns from")
    parser.add_argument("--no-trainer", action="store_true", help="skip the whole training")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no card here; --device cpu tries the script")
    card = torch.cuda.get_device_name() if args.device == "cuda" else "processor"
    print(f"torch {torch.__version__}, {card}, moe_eval=legacy")
    print("| network | mode | B | form | seconds | spread | speed-up | memory MB | of peak |")
    print("|---|---|---|---|---|---|---|---|---|")
    deadline, cases = time.perf_counter() + BUDGET_S, []
    for sequences in args.sequences:
        for case in cases_of(sequences, args, deadline):
            speedup = "-" if case["speedup"] is None else f"{case['speedup']:.1f}"
            print(
                f"| {case['sequences']} | {case['mode']} | {case['rows']} | {case['form']}"
                f" | {case['seconds']:.4f} | {case['spread']:.0%} | {speedup} | {case['memory_mb']:.0f}"
                f" | {case['share_of_peak']:.1%} |",
                flush=True,
            )
            cases.append(case)
    if args.json:
        args.json.write_text(json.dumps(cases, indent=2) + "\n")
    if not args.no_trainer:
        print(trainer(args))


if __name__ == "__main__":
    main()
