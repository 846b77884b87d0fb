"""Does the gate pass what is correct? Networks of every option, form, loss and scale of weights.

    python benchmarks/false_alarms.py                       # 60 networks
    python benchmarks/false_alarms.py --first 20 --count 5  # some of them
    python benchmarks/false_alarms.py --keep FOLDER --seconds 500   # some, and others next time

Each network is the shipped code with another configuration: fresh, random or trained a little, its weights
then multiplied by a number from 0.01 to 10, and judged as if a run with another loss, precision, dropout and
batch size had trained it. Odd numbers compute with two threads.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from kept import Calls

from tsa_model import ModelConfig, Network, build_network
from tsa_model.batch import LABEL
from tsa_model.equivalence.checks.check import Subject
from tsa_model.equivalence.checks.legacy import LEGACY
from tsa_model.equivalence.checks.plain_losses import FORMULAS
from tsa_model.equivalence.evidence.generated import ragged_rows
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.equivalence.evidence.sample import make_sample
from tsa_model.equivalence.evidence.stand_in import threads
from tsa_model.equivalence.gate import CHECKS, PROBE_SEED
from tsa_model.equivalence.results import CheckResult
from tsa_model.settings.presets import PRESETS
from tsa_model.settings.training import TrainConfig

N_NETWORKS = 60
SCALES = (1.0, 10.0, 0.01, 1.0, 3.0, 0.1)
N_ROWS = 24


@dataclass(frozen=True)
class Case:
    """One correct network.

    Attributes:
        seed: of everything that is random about it.
        config: of the network.
        training: how it is said to have been trained.
        scale: that its weights are multiplied by.
    """

    seed: int
    config: ModelConfig
    training: TrainConfig
    scale: float

    @classmethod
    def of(cls, seed: int) -> Case:
        """The case of a number; every preset, loss and scale comes in turn."""
        rng = random.Random(seed)
        preset = list(PRESETS)[seed % 4 % len(PRESETS)]  # production twice as often
        training = TrainConfig(
            loss=list(FORMULAS)[seed % len(FORMULAS)],
            precision=rng.choice(["32", "32", "bf16-mixed"]),
            batch_size=rng.choice([32, 64, 128, 300]),
            optimizer=rng.choice(["adam", "adamw"]),
            schedule=rng.choice(["one_cycle", "warmup", "constant"]),
            weight_decay=rng.choice([0.0, 0.01]),
        )
        config = _config(rng, preset)
        if seed % 4:
            config = config.changed(wide_hidden_dim=5, wide_encoding=("none", "piecewise")[seed % 2])
        if seed % 3 == 2:
            config = config.changed(boosted_trees=4, tree_leaves=6, tree_depth=4)
        return cls(seed, config, training, SCALES[seed // 2 % len(SCALES)])

    def network(self) -> Network:
        """Fresh, with random weights, or trained for some steps; then scaled."""
        torch.manual_seed(self.seed)
        network = build_network(self.config, "fast")
        if self.seed % 3 == 1 or self.config.moe_form == "noisy_top2":
            network = with_probe_weights(network, self.seed)
        elif self.seed % 3 == 2:
            batch = ragged_rows(self.config, 64, self.seed)
            optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-2)
            for _ in range(15):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(batch)[0], batch[LABEL]).backward()
                optimizer.step()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(self.scale)
        return network.eval()

    def failures(self) -> list[CheckResult]:
        """The checks that reject it; the legacy baseline is left out, it does not depend on the network."""
        rows = ragged_rows(self.config, 2 * N_ROWS, self.seed)
        names = [f"order-{i}" for i in range(2 * N_ROWS)]
        sample = make_sample(rows, names, self.config, n_real=N_ROWS)
        with threads(1 + self.seed % 2):
            subject = Subject.of(self.network(), sample, self.training, PROBE_SEED)
            results = [check.carry_out(subject) for check in CHECKS if check is not LEGACY]
        return [result for result in results if not result.passed]

    @property
    def words(self) -> str:
        """The columns of the table that describe it."""
        config, training = self.config, self.training
        form = config.moe_form if config.use_moe else "plain"
        kind = ("fresh", "random", "trained")[self.seed % 3]
        return (
            f"{config.sequences}, {form}, {config.num_heads} heads, L {config.seq_len}, "
            f"D {config.dim_embedding_table}, {kind} | {self.scale:g} | {config.dropout:g} | "
            f"{training.loss} | {training.precision} | {training.batch_size} | {1 + self.seed % 2}"
        )


def _config(rng: random.Random, preset: str) -> ModelConfig:
    sequences = rng.choice(["single", "dual"])
    return ModelConfig.model_validate(
        {
            "sequences": sequences,
            "dim_embedding_table": rng.choice([4, 8, 16, 32]),
            "num_heads": rng.choice([1, 2, 4]),
            "seq_len": rng.choice([1, 2, 3, 5, 9, 20]),
            "n_cat_features": rng.choice([1, 3, 9]),
            "n_num_features": rng.choice([1, 2, 10]),
            "n_embedding": rng.choice([60, 200]),
            "n_engineered_num_features": rng.choice([0, 1, 5]),
            "n_layers_order": rng.choice([1, 2, 3]),
            "n_layers_feature": rng.choice([1, 2]),
            "num_experts": rng.choice([2, 3, 5]),
            "dim_attn_feedforward": 12,
            "gate_embedding_dim": 4,
            "gate_hidden_dim": 16,
            "gate_feedforward_dim": 8,
            "use_moe": rng.random() < 0.75,
            "gate_use_moe": rng.random() < 0.3,
            "use_time_seq": rng.random() < 0.7,
            "gate_use_time_seq": rng.random() < 0.3,
            "emb_tbl_use_bias": rng.random() < 0.5,
            "use_mlp": sequences == "single" and rng.random() < 0.5,
            "dropout": rng.choice([0.0, 0.1, 0.3]),
            "moe_second_policy_train": rng.choice(["random", "all", "none", "threshold"]),
            "moe_eval": "deterministic",
            **PRESETS[preset],
        }
    )


HEAD = """| number | network | weights | dropout | loss | precision | batch | threads | verdict | CPU s |
|---|---|---|---|---|---|---|---|---|---|"""


def main() -> int:
    """Judge the networks that were not judged before, and print the table of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=N_NETWORKS)
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps results; what it has is not judged again"
    )
    parser.add_argument("--seconds", type=float, help="begin no further network after this long")
    parser.add_argument("--markdown", type=Path, help="write the table of all results to this file")
    options = parser.parse_args()
    calls = Calls(folder=options.keep, seconds=options.seconds)
    results = calls.kept()
    with calls.place():
        for number in calls.left([str(n) for n in range(options.first, options.first + options.count)]):
            case, started = Case.of(int(number)), time.process_time()
            failures = case.failures()
            word = "; ".join(f"check {each.number}: {each.reason}" for each in failures) or "passed"
            line = f"| {number} | {case.words} | {word} | {time.process_time() - started:.0f} |"
            results[number] = {"line": line, "alarm": bool(failures)}
            calls.keep(number, results[number])
            print(line, flush=True)
    table = [HEAD, *(results[number]["line"] for number in sorted(results, key=int))]
    alarms = sum(result["alarm"] for result in results.values())
    summary = f"{alarms} false alarms on {len(results)} correct networks"
    print(f"\n{summary}")
    if options.markdown:
        options.markdown.write_text(PAGE.format(summary=summary, table="\n".join(table)), encoding="utf-8")
    return 1 if alarms else 0


PAGE = """# Does the gate pass what is correct?

Written by `python benchmarks/false_alarms.py --keep FOLDER --markdown docs/FALSE_ALARMS.md`. Each network is
the shipped code with another configuration, other weights and another training; every check but the legacy
baseline, which does not depend on the network, judges it. L is the length of histories, D the tables' width;
"weights" is what every weight is multiplied by.

{summary}.

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
