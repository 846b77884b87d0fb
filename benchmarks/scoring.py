"""Rows per second of scoring: ONNX Runtime as it ships, the fast network and the reference, alternating.

    python benchmarks/scoring.py [--rows 256] [--sizes demo full] [--threads 2]
    python benchmarks/scoring.py --rows 1 8 256 --sizes plain full --files FOLDER --former OTHER_FOLDER

The second one compares two versions' files, which `scoring_files.py` writes. With `--pause 0` a round is some
calls in a row.

All three score the same batches of ragged histories with the deterministic mixture and random weights;
medians of alternating rounds in one process. `demo` is the demo's network, `full` the default configuration
(53 categorical and 47 numerical features, 51 orders, table width 128, 6 + 6 layers, 5 experts), `plain` the
first demo's network, as `scoring_files.py` says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import scoring_files
import torch
from model_cases import make_batch, seconds

from tsa_model import ModelConfig, build_network
from tsa_model.export.graph import write_onnx
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.settings.run import RunConfig

PAUSE_S = 0.02
"""Pause before each call, in which the threads that torch keeps spinning after its own come to rest."""


CALLS = {"demo": 400, "plain": 400, "full": 24}
"""Rows of a round's calls in a row, without a pause."""


def _repeated(call: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        call()


def demo_configuration(sequences: str) -> ModelConfig:
    """The demo's network, as its data make it; the vocabulary's size does not matter here."""
    run = RunConfig.load("demo")
    return ModelConfig(
        **run.model.model_dump(exclude={"sequences"}),
        sequences=sequences,
        n_cat_features=len(run.dataset.categorical),
        n_num_features=len(run.dataset.numerical),
        n_engineered_num_features=len(run.dataset.engineered),
        n_embedding=200,
        seq_len=run.dataset.seq_len,
    )


def measure(size: str, sequences: str, args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Seconds of every round of each way to score, for every number of rows."""
    if size == "demo":
        config = demo_configuration(sequences)
    else:
        config = scoring_files.configuration(size, sequences)
    torch.manual_seed(0)
    fast = build_network(config, "fast").eval()
    reference = fast.twin("reference").eval()
    name = f"{size}_{sequences}.onnx"
    settings = SessionSettings(calls_at_once=args.calls_at_once)
    if args.files:
        folder = args.files
    else:
        write_onnx(fast, folder / name, {})
    sessions = {"onnx": ScoringSession(folder / name, settings)}
    if args.former:
        sessions["former"] = ScoringSession(args.former / name, settings)
    cases = []
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    for rows in args.rows:
        batch = make_batch(config, rows)
        calls: dict[str, Callable[[], Any]] = {
            "reference": partial(reference, batch),
            "fast": partial(fast, batch),
        }
        calls |= {key: partial(session.run, batch) for key, session in sessions.items()}
        if args.former:
            calls = {key: calls[key] for key in sessions}
        times: dict[str, list[float]] = {key: [] for key in calls}
        with torch.no_grad():
            for call in calls.values():
                call()
            in_a_row = 1 if args.pause else max(1, CALLS[size] // rows)
            for turn in range(args.rounds):
                for key, call in list(calls.items())[:: 1 if turn % 2 else -1]:
                    time.sleep(args.pause)
                    times[key].append(seconds(partial(_repeated, call, in_a_row), "cpu", clock) / in_a_row)
        cases.append({"size": size, "sequences": sequences, "rows": rows, "seconds": times})
    return cases


def line(case: dict[str, Any]) -> str:
    """Rows per second in the middle of all rounds, and by how much ONNX Runtime is ahead, round by round."""
    times = case["seconds"]
    rates = {key: case["rows"] / statistics.median(values) for key, values in times.items()}
    cells = [case["size"], case["sequences"], str(case["rows"]), *(f"{rate:.0f}" for rate in rates.values())]
    for key in times:
        if key != "onnx":
            ratios = sorted(slow / quick for slow, quick in zip(times[key], times["onnx"], strict=True))
            middle, low, high = statistics.median(ratios), ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[256], help="batch sizes B")
    parser.add_argument("--files", type=Path, help="folder with this version's ONNX files; left out = made")
    parser.add_argument("--former", type=Path, help="folder with another version's ONNX files")
    parser.add_argument("--sizes", nargs="+", choices=["demo", "plain", "full"], default=["demo", "full"])
    parser.add_argument("--sequences", nargs="+", choices=["single", "dual"], default=["single", "dual"])
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds per case")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--calls-at-once", type=int, default=0, help="of ONNX Runtime; 0 = processors")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds before each call; 0 = in a row")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="whose seconds")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(
        f"torch {torch.__version__}, {args.threads} threads, load {os.getloadavg()[0]:.1f}, rows per second"
    )
    others = ["former"] if args.former else ["reference", "fast"]
    columns = ["size", "network", "B", *(["onnx", "former"] if args.former else [*others, "onnx"])]
    columns += [f"onnx / {other}, half of the rounds" for other in others]
    print(f"| {' | '.join(columns)} |", "---".join("|" * (len(columns) + 1)), sep="\n")
    cases = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for size in args.sizes:
            for sequences in args.sequences:
                for case in measure(size, sequences, args, folder):
                    print(line(case), flush=True)
                    cases.append(case)
    if args.json:
        args.json.write_text(json.dumps(cases, indent=2) + "\n")


if __name__ == "__main__":
    main()
