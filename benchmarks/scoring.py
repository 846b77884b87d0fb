"""Rows per second of scoring: ONNX Runtime as it ships, the fast network and the reference, alternating.

    python benchmarks/scoring.py [--rows 256] [--sizes demo full] [--threads 2]

All three score the same batches of ragged histories with the deterministic mixture and random weights;
medians of alternating rounds in one process. `demo` is the demo's network, `full` the default configuration
(53 categorical and 47 numerical features, 51 orders, table width 128, 6 + 6 layers, 5 experts).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from model_cases import configuration, make_batch, seconds

from tsa_model import ModelConfig, build_network
from tsa_model.export.graph import write_onnx
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.settings.run import RunConfig

PAUSE_S = 0.02
"""Pause before each call, in which the threads that torch keeps spinning after its own come to rest."""


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


def measure(size: str, sequences: str, args: argparse.Namespace) -> dict[str, Any]:
    """Median rows per second of each way to score."""
    if size == "full":
        config = configuration(sequences, "deterministic")
    else:
        config = demo_configuration(sequences)
    torch.manual_seed(0)
    fast = build_network(config, "fast").eval()
    reference = fast.twin("reference").eval()
    batch = make_batch(config, args.rows)
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(fast, Path(folder) / "model.onnx", {})
        session = ScoringSession(Path(folder) / "model.onnx", SessionSettings())
    calls = {
        "reference": lambda: reference(batch),
        "fast": lambda: fast(batch),
        "onnx": lambda: session.run(batch),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for call in calls.values():
            call()
        for _ in range(args.rounds):
            for name, call in calls.items():
                time.sleep(PAUSE_S)
                times[name].append(seconds(call, "cpu"))
    rates = {name: args.rows / statistics.median(values) for name, values in times.items()}
    return {"size": size, "sequences": sequences, "rows": args.rows, "rows_per_second": rates}


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=256, help="batch size B")
    parser.add_argument("--sizes", nargs="+", choices=["demo", "full"], default=["demo", "full"])
    parser.add_argument("--sequences", nargs="+", choices=["single", "dual"], default=["single", "dual"])
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds per case")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, B = {args.rows}, rows per second")
    print("| size | network | reference | fast | ONNX Runtime | ONNX / fast | ONNX / reference |")
    print("|---|---|---|---|---|---|---|")
    cases = []
    for size in args.sizes:
        for sequences in args.sequences:
            case = measure(size, sequences, args)
            rates = case["rows_per_second"]
            reference, fast, onnx = (rates[name] for name in ("reference", "fast", "onnx"))
            print(
                f"| {size} | {sequences} | {reference:.0f} | {fast:.0f} | {onnx:.0f} "
                f"| {onnx / fast:.2f} | {onnx / reference:.1f} |",
                flush=True,
            )
            cases.append(case)
    if args.json:
        args.json.write_text(json.dumps(cases, indent=2) + "\n")


if __name__ == "__main__":
    main()
