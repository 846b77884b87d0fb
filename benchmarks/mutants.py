"""Does the gate notice? Every mutant is the shipped code with one fault; the gate must reject all of them.

    python benchmarks/mutants.py                # all mutants, prints the kill matrix
    python benchmarks/mutants.py --only mask    # those whose name contains a word
    python benchmarks/mutants.py --group runs   # one part of the catalogue
    python benchmarks/mutants.py --until-killed --keep FOLDER --seconds 500    # some, and others next time
    python benchmarks/mutants.py --until-killed --keep FOLDER --markdown docs/KILL_MATRIX.md
    python benchmarks/mutants.py --catalogue export    # faults of exported models, tried on the parity check
    python benchmarks/mutants.py --catalogue scores    # faults in scoring, held to the score contract

A mutant is a change of source text (`mutant_catalogue.py`). The package is copied to a temporary folder, the
change is made there, and a forked process imports the copy and runs the whole gate with it on a small network
that the unchanged code has trained.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # a loss needs it; loaded once here instead of in every fork
from kept import Calls
from mutant import Mutant
from mutant_catalogue import GROUPS, MUTANTS

ROOT = Path(__file__).resolve().parents[1]
CHECKS = range(9)
SUBJECTS: dict[str, dict[str, Any]] = {
    "dual": {},
    "single": {"sequences": "single", "use_mlp": True},
    "one_head": {"num_heads": 1, "wide_hidden_dim": 6, "wide_encoding": "piecewise"},
    "trees": {"boosted_trees": 5, "tree_leaves": 6, "tree_depth": 4},
    "plain": {"use_moe": False},
    "dropping": {"use_moe": False, "dropout": 0.2},
    "dense": {
        "sequences": "single",
        "time_encoder": "cosine",
        "feature_aggregation": "linear",
        "moe_form": "dense_softmax",
    },
    "noisy": {
        "sequences": "single",
        "time_encoder": "periodic",
        "feature_aggregation": "relu_halving",
        "moe_form": "noisy_top2",
    },
    "asymmetric": {"sequences": "single"},
    "cyclical": {"sequences": "single"},
}
"""The small networks, by what is different about them."""
LOSSES = {"asymmetric": "AsymmetricLoss", "cyclical": "CyclicalFocalLoss"}
TRAINING_STEPS = 10
OTHER_CATALOGUES = {"export": "export_catalogue", "scores": "catalogue_of_scores"}
"""Catalogue → the module whose `main(calls)` tries it; "network" is tried here."""


def configuration(subject: str) -> Any:
    """The small network a mutant is tried on."""
    from tsa_model import ModelConfig

    sizes = {
        "sequences": "dual",
        "n_cat_features": 5,
        "n_num_features": 4,
        "n_embedding": 40,
        "n_engineered_num_features": 3,
        "seq_len": 9,
        "dim_embedding_table": 8,
        "dim_attn_feedforward": 12,
        "num_heads": 2,
        "n_layers_order": 2,
        "n_layers_feature": 2,
        "num_experts": 3,
        "gate_embedding_dim": 4,
        "gate_hidden_dim": 16,
        "gate_feedforward_dim": 8,
        "moe_eval": "deterministic",
    }
    return ModelConfig.model_validate({**sizes, **SUBJECTS[subject]})


def train(subject: str, weights: Path) -> None:
    """Train the network of a subject a little and save its weights."""
    from tsa_model import build_network
    from tsa_model.batch import LABEL
    from tsa_model.equivalence.evidence.generated import ragged_rows

    config = configuration(subject)
    torch.manual_seed(0)
    network = build_network(config, "fast")
    batch = ragged_rows(config, 96, 0)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(TRAINING_STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch)[0], batch[LABEL]).backward()
        optimizer.step()
    np.savez(weights, **{name: x.detach().numpy() for name, x in network.state_dict().items()})


@dataclass(frozen=True)
class Asked:
    """What of the gate a mutant is given to.

    Attributes:
        until_killed: stop at the first check that rejects.
        first: the check to begin with, where only the first that rejects is asked for.
        batch_size: of the run that is said to train; the gate compares a training batch of that size.
    """

    until_killed: bool = False
    first: int = 0
    batch_size: int = 1024


def judge_here(subject: str, weights: Path, asked: Asked) -> dict[str, Any]:
    """Verdict of the imported package's gate on its own network: failed checks, and why."""
    from tsa_model import build_network, progress
    from tsa_model.equivalence.evidence.generated import ragged_rows
    from tsa_model.equivalence.evidence.sample import make_sample
    from tsa_model.equivalence.gate import Identity, judge
    from tsa_model.settings.training import TrainConfig

    progress.report = lambda *_: None  # type: ignore[assignment]
    config = configuration(subject)
    network = build_network(config, "fast").eval()
    with np.load(weights, allow_pickle=False) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files})
    rows = ragged_rows(config, 96, 0)
    sample = make_sample(rows, [f"order-{i}" for i in range(96)], config, n_real=60)
    loss = LOSSES.get(subject, "CrossEntropyLoss")
    training = TrainConfig(loss=loss, batch_size=asked.batch_size)
    if asked.until_killed:
        return _first_failure(network, sample, training, asked.first)
    verdict = judge(network, sample, Identity("", ""), training=training)
    return {"failed": [c.number for c in verdict.checks if not c.passed], "reason": verdict.reason}


def _first_failure(network: Any, sample: Any, training: Any, first: int) -> dict[str, Any]:
    """The first check that fails, in the gate's order from `first` on, on what the gate would be given."""
    from tsa_model.equivalence.checks.check import Subject
    from tsa_model.equivalence.gate import CHECKS, PROBE_SEED

    subject = Subject.of(network, sample, training, PROBE_SEED)
    for check in CHECKS[first:]:
        result = check.carry_out(subject)
        if not result.passed:
            return {"failed": [check.number], "reason": f"check {check.number}: {result.reason}"}
    return {"failed": [], "reason": "no check failed"}


def run(weights: Path, subject: str, mutant: Mutant | None, asked: Asked) -> dict[str, Any]:
    """The verdict on a mutant (None = the code as it is), from a forked process with a changed copy."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "tsa_model"
        shutil.copytree(ROOT / "tsa_model", package, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / "tests").symlink_to(ROOT / "tests")
        if mutant is not None:
            mutant.apply(package)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _child(folder, writer, subject, weights, asked)
        os.close(writer)
        with os.fdopen(reader) as stream:
            answer = stream.read()
        os.waitpid(child, 0)
    return json.loads(answer) if answer else {"failed": [], "reason": "the process died"}


def _child(folder: str, writer: int, subject: str, weights: Path, asked: Asked) -> None:
    """Import the copy, judge, answer, and leave without running anything of the parent's."""
    try:
        torch.set_num_threads(1)
        sys.path.insert(0, folder)
        import tsa_model

        assert Path(tsa_model.__file__).is_relative_to(folder), "the copy was not imported"
        try:
            if not weights.exists():
                train(subject, weights)
            answer = judge_here(subject, weights, asked)
        except Exception as error:
            answer = {"failed": list(CHECKS), "reason": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def matrix(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row per mutant, a column per check: ✗ where it rejects, · where it was not asked."""
    heads = [*(str(n) for n in CHECKS), "first", "seconds"]
    lines = ["| mutant | " + " | ".join(heads) + " |", "|---|" + ":-:|" * len(heads)]
    for name, result in results.items():
        last = min(result["failed"], default=CHECKS[-1]) if result["until_killed"] else CHECKS[-1]
        asked = range(result.get("begun", 0), last + 1)
        marks = ["✗" if n in result["failed"] else "" if n in asked else "·" for n in CHECKS]
        first = str(min(result["failed"], default=""))
        lines.append(f"| {name} | " + " | ".join([*marks, first, str(result.get("seconds", ""))]) + " |")
    return "\n".join(lines)


def page(results: dict[str, dict[str, Any]]) -> str:
    """The document that keeps the kill matrix."""
    killed = sum(bool(result["failed"]) for result in results.values())
    return f"""# Kill matrix of the equivalence gate

Written by `python benchmarks/mutants.py --until-killed --keep FOLDER --markdown docs/KILL_MATRIX.md`.
Each mutant is the shipped code with one fault. ✗ marks a check that rejects it, `first` is the first of them,
· marks checks that were not asked: later ones, and earlier ones where a check was asked at once
(`--first-check`). Seconds are those until the rejection, on a busy machine; copying and importing the code is
part of them. "In both" means that the reference shares the faulty code, so that only the legacy baseline or a
relation can see it.

{killed} of {len(results)} tried are killed; the catalogue has {len(MUTANTS)}.
Checks: 0 contract, 1 algebra in float64, 2 rounding in float32, 3 first divergence, 4 training, 5 metamorphic
relations, 6 legacy baseline, 7 negative control, 8 decisions.

{matrix(results)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--group", choices=sorted(GROUPS), help="one part of the catalogue; default: all")
    parser.add_argument("--until-killed", action="store_true", help="stop at the first check that rejects")
    parser.add_argument(
        "--first-check", type=int, default=0, help="with --until-killed: begin with this check"
    )
    parser.add_argument("--batch-size", type=int, default=1024, help="rows of the run's training batch")
    parser.add_argument("--keep", type=Path, help="folder that keeps results; what it has is not tried again")
    parser.add_argument("--seconds", type=float, help="begin no further mutant after this long")
    parser.add_argument("--markdown", type=Path, help="write the kill matrix to this file")
    parser.add_argument("--catalogue", choices=("network", *OTHER_CATALOGUES), default="network")
    options = parser.parse_args()
    calls = Calls(options.only, options.keep, options.seconds, options.markdown)
    if options.catalogue in OTHER_CATALOGUES:
        return importlib.import_module(OTHER_CATALOGUES[options.catalogue]).main(calls)
    mutants = {
        mutant.name: mutant
        for group, members in GROUPS.items()
        for mutant in members
        if options.group in (None, group)
    }
    asked = Asked(options.until_killed, options.first_check, options.batch_size)
    return try_all(mutants, calls, asked)


def try_all(mutants: dict[str, Mutant], calls: Calls, asked: Asked) -> int:
    """Try the mutants that were not tried before; 1 if one of all survives."""
    results = calls.kept()
    with calls.place() as folder:
        for name in calls.left(list(mutants)):
            mutant, started = mutants[name], time.perf_counter()
            weights = folder / f"{mutant.subject}.npz"
            if not weights.exists():
                clean = run(weights, mutant.subject, None, asked)
                print(f"unchanged code, {mutant.subject}: {clean['reason']}", flush=True)
                if clean["failed"]:
                    weights.unlink(missing_ok=True)
                    print("the gate rejects correct code", file=sys.stderr)
                    return 1
                started = time.perf_counter()
            result = run(weights, mutant.subject, mutant, asked)
            result |= {"seconds": round(time.perf_counter() - started), "until_killed": asked.until_killed}
            result |= {"begun": asked.first if asked.until_killed else 0}
            results[name] = result
            calls.keep(name, result)
            word = "killed" if result["failed"] else "SURVIVED"
            seconds, reason = result["seconds"], result["reason"][:200]
            print(f"{word} by {result['failed']} ({seconds} s): {name}: {reason}", flush=True)
    results = {name: results[name] for name in mutants if name in results}
    survivors = [name for name, result in results.items() if not result["failed"]]
    print(f"\n{matrix(results)}\n\n{len(results) - len(survivors)} of {len(results)} mutants killed")
    if calls.markdown:
        calls.markdown.write_text(page(results), encoding="utf-8")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
