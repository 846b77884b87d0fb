"""Reference against fast: time and memory of evaluation and training steps, alternating in one process.

    python benchmarks/model.py --threads 2 --json model.json

The default configuration (53 categorical and 47 numerical features, 51 orders, table width 128, 6 + 6 layers,
5 experts) with random weights and ragged histories. Times are medians of alternating runs; memory is the
growth of the process's peak over one call, measured in a fresh child process per case, and on a GPU the
allocator's peak. The share of the machine's rate compares the fast network's useful multiplications with what
a large matrix product reaches in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from tsa_model import ModelConfig, Network, build_network
from tsa_model.batch import LABEL, histories, history_names

IMPLEMENTATIONS = ("reference", "fast")


def configuration(sequences: str, moe_eval: str = "legacy") -> ModelConfig:
    """The default configuration."""
    return ModelConfig(
        sequences=sequences,
        n_cat_features=53,
        n_num_features=47,
        n_embedding=2000,
        dim_attn_feedforward=128,
        moe_eval=moe_eval,
    )


def make_batch(config: ModelConfig, n_rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Histories of 1 to L orders, uniformly; one card in five has no history."""
    generator = torch.Generator().manual_seed(seed)
    L, last_category = config.seq_len, config.n_embedding - config.n_num_features
    batch = {LABEL: torch.randint(0, 2, (n_rows,), generator=generator)}
    for i, names in enumerate(history_names(config.sequences)):
        n_orders = torch.randint(1, L + 1, (n_rows,), generator=generator)
        if i == 1:
            n_orders[torch.rand(n_rows, generator=generator) < 0.2] = 1
        real = (torch.arange(L) >= L - n_orders[:, None])[..., None]
        categories = torch.randint(
            1, last_category + 1, (n_rows, L, config.n_cat_features), generator=generator
        )
        age_s = torch.rand(n_rows, L, 1, generator=generator).sort(dim=1, descending=True).values * 5e6
        age_s[:, -1] = 0
        batch[names.cat] = categories * real
        batch[names.num] = torch.rand(n_rows, L, config.n_num_features, generator=generator) * real
        batch[names.time] = age_s * real
        batch[names.mask] = nn.functional.pad(~real[..., 0], (0, 1))
    return batch


def call_of(network: Network, batch: dict[str, Tensor], mode: str) -> Callable[[], None]:
    """What is timed: an evaluation, or a training step without the optimiser."""

    def evaluate() -> None:
        with torch.no_grad():
            network(batch)

    def train() -> None:
        network.zero_grad()
        nn.functional.cross_entropy(network(batch)[0], batch[LABEL]).backward()

    network.train(mode == "train")
    return train if mode == "train" else evaluate


def seconds(call: Callable[[], object], device: str) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def gemm_flops(device: str) -> float:
    """Floating-point operations per second of a large float32 matrix product."""
    a = torch.randn(8192, 512, device=device)
    b = torch.randn(512, 512, device=device)
    best = min(seconds(lambda: a @ b, device) for _ in range(20))
    return 2 * 8192 * 512 * 512 / best


def useful_flops(config: ModelConfig, batch: dict[str, Tensor]) -> float:
    """Multiplications and additions of the fast evaluation's matrix products, estimated from the shapes."""
    D, E, T = config.dim_embedding_table, 2 * config.dim_embedding_table, config.seq_len + 1
    tokens = config.n_cat_features + config.n_num_features + config.n_engineered_num_features + 1

    def layer(width: int, n_tokens: int) -> float:
        return n_tokens * (2 * width**2 + 2 * n_tokens * width + 4 * width * config.dim_attn_feedforward)

    def aggregation(n_features: int) -> float:
        widths = [max(1, n_features // 2**k) for k in range(6)] + [1]
        return D * sum(a * b for a, b in itertools.pairwise(widths))

    total = 0.0
    masks = [history.mask for history in histories(batch, config.sequences)]
    for i, mask in enumerate(masks):
        rows = len(mask) if i == 0 else int((mask.sum(1) != mask.shape[1] - 2).sum())
        orders = int((~mask[:, :-1]).sum())
        total += rows * (config.n_layers_order - 1) * layer(E, T)
        total += orders * (aggregation(config.n_cat_features) + aggregation(config.n_num_features))
    total += len(masks[0]) * (config.n_layers_feature - 1) * layer(D, tokens)
    return 2 * total


def timed_case(sequences: str, mode: str, n_rows: int, args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds of both implementations, run alternately."""
    config = configuration(sequences, args.moe_eval)
    torch.manual_seed(0)
    fast = build_network(config, "fast").to(args.device)
    networks = {"reference": fast.twin("reference"), "fast": fast}
    batch = {name: tensor.to(args.device) for name, tensor in make_batch(config, n_rows).items()}
    calls = {name: call_of(network, batch, mode) for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(args.rounds):
        for name, call in calls.items():
            times[name].append(seconds(call, args.device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    case = {"sequences": sequences, "mode": mode, "rows": n_rows, **medians}
    case["speedup"] = medians["reference"] / medians["fast"]
    if mode == "eval":
        case["gemm_share"] = useful_flops(config, batch) / medians["fast"] / args.gemm_flops
    return case


def _peak_growth_mb(
    implementation: str, sequences: str, mode: str, n_rows: int, args: argparse.Namespace, results: Any
) -> None:
    torch.set_num_threads(args.threads)
    config = configuration(sequences, args.moe_eval)
    network = build_network(config, implementation).to(args.device)  # type: ignore[arg-type]
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
    parser.add_argument("--no-memory", action="store_true", help="skip the memory measurement")
    parser.add_argument(
        "--largest-training", type=int, default=256, help="skip training above this many rows"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.gemm_flops = gemm_flops(args.device)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {args.device}, float32, moe_eval={args.moe_eval}"
    )
    print(f"matrix product: {args.gemm_flops / 1e9:.0f} GFLOP/s")
    print("| network | mode | B | reference s | fast s | speed-up | memory MB | ratio | of GEMM rate |")
    print("|---|---|---|---|---|---|---|---|---|")
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
                    memory = f"{used['reference']:.0f} → {used['fast']:.0f}"
                    ratio = f"1/{used['reference'] / used['fast']:.1f}"
                share = f"{case['gemm_share']:.0%}" if "gemm_share" in case else "-"
                print(
                    f"| {sequences} | {mode} | {n_rows} | {case['reference']:.3f} | {case['fast']:.3f} "
                    f"| {case['speedup']:.1f} | {memory} | {ratio} | {share} |",
                    flush=True,
                )
                cases.append(case)
    if args.json:
        args.json.write_text(json.dumps(cases, indent=2) + "\n")


if __name__ == "__main__":
    main()
