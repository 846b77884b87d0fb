"""How long the equivalence gate takes, and how much memory: on the demo's network and on a full-size one.

    python benchmarks/gate.py [--sizes demo full] [--sequences dual]

Random weights, ragged histories; every check runs as in the pipeline. `full` is the default configuration
(53 categorical and 47 numerical features, 51 orders, table width 128, 6 + 6 layers, 5 experts). Each case
runs in a process of its own; memory is that process's peak, torch and the legacy baseline included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

import torch
from default_network import configuration
from scoring import demo_configuration

from tsa_model import build_network
from tsa_model.equivalence import judge
from tsa_model.equivalence.evidence.effort import effort_for
from tsa_model.equivalence.evidence.generated import ragged_rows
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.equivalence.evidence.sample import make_sample
from tsa_model.equivalence.gate import Identity

CANDIDATES = 512


def _judge(size: str, sequences: str, threads: int, results: Any) -> None:
    torch.set_num_threads(threads)
    full = size == "full"
    config = configuration(sequences, "deterministic") if full else demo_configuration(sequences)
    network = with_probe_weights(build_network(config, "fast"), 0).eval()
    rows = ragged_rows(config, CANDIDATES, 0)
    names = [f"generated {i}" for i in range(CANDIDATES)]
    started = time.perf_counter()
    sample = make_sample(rows, names, config, n_real=effort_for(config).real_rows)
    verdict = judge(network, sample, Identity("", ""), population=rows)
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put((verdict.passed, verdict.reason, seconds, peak_mb))


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=["demo", "full"], default=["demo", "full"])
    parser.add_argument("--sequences", nargs="+", choices=["single", "dual"], default=["single", "dual"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print("| size | network | verdict | seconds | peak memory MB |")
    print("|---|---|---|---|---|")
    for size in args.sizes:
        for sequences in args.sequences:
            results = context.Queue()
            process = context.Process(target=_judge, args=(size, sequences, args.threads, results))
            process.start()
            passed, reason, seconds, peak_mb = results.get()
            process.join()
            verdict = "passed" if passed else reason
            print(f"| {size} | {sequences} | {verdict} | {seconds:.1f} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
