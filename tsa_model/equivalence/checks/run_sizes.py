"""Check 4, on a stand-in: training batches of the run's own size, in every precision, cut and threaded.

See `evidence/stand_in.py` for what a stand-in is. The trained network itself is compared on fewer rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from tsa_model.batch import ATTN_MASK, Batch, history_names, n_rows
from tsa_model.equivalence.checks.gradients import compare_rounded, compare_steps
from tsa_model.equivalence.evidence.generated import random_rows
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.stand_in import (
    FEW_ROWS,
    other_computations,
    stand_in,
    stand_in_config,
    stand_in_rows,
    threads,
    training_rows,
)
from tsa_model.equivalence.evidence.training_step import Conditions, Step, for_training, take_step
from tsa_model.equivalence.results import Measurement
from tsa_model.network.implementation import Implementation
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

PRECISIONS = ("32", "bf16-mixed")
"""Tried on the small batch, whatever the run's own; the large batch is computed in that one."""


def compare_sizes(config: ModelConfig, training: TrainConfig, n_threads: int, seed: int) -> list[Measurement]:
    """Stand-ins of a configuration, trained one step in every way a run may train it.

    Args:
        config: of the network that is judged.
        training: the run's batch size, precision and loss.
        n_threads: threads that scoring may use.
        seed: of weights, rows and draws.
    """
    conditions = Conditions(Objective(training), seed=seed)
    rows = training_rows(config, training.batch_size)
    large = _StandIn.of(config, rows, conditions)
    small = _StandIn.of(config, FEW_ROWS, conditions)
    measurements = []
    for n, batch_of in ((n_threads, large), (1, small)):
        with threads(n):
            measurements += compare_steps(f"{batch_of.title}, {n} threads", batch_of.truth, batch_of.step())
    measurements += large.rounded(training.precision)
    for precision in PRECISIONS:
        measurements += small.rounded(precision)
    for name, compute in other_computations(small.config, FEW_ROWS).items():
        found = small.step(compute)
        measurements += compare_steps(f"{small.title}, {name}", small.truth, found)
    for name, batch in masked_batches(small.config, small.batch, seed).items():
        masked = _StandIn(small.config, small.networks, batch, conditions)
        measurements += compare_steps(f"{small.title}, {name}", masked.truth, masked.step())
    return measurements


@dataclass(frozen=True)
class _StandIn:
    """Narrow networks, rows, and the float64 reference's step on them."""

    config: ModelConfig
    networks: Networks
    batch: Batch
    conditions: Conditions

    @classmethod
    def of(cls, config: ModelConfig, rows: int, conditions: Conditions) -> _StandIn:
        small = stand_in_config(config, rows)
        seed = conditions.seed
        return cls(small, stand_in(small, seed), stand_in_rows(small, rows, seed), conditions)

    @property
    def title(self) -> str:
        return f"stand-in, batch of {n_rows(self.batch)}"

    @cached_property
    def truth(self) -> Step:
        return take_step(for_training(self.networks.reference64), self.batch, self.conditions)

    def step(self, compute: Implementation | None = None) -> Step:
        """The float64 shipped network's."""
        shipped = for_training(self.networks.shipped64, compute=compute)
        return take_step(shipped, self.batch, self.conditions)

    def rounded(self, precision: str) -> list[Measurement]:
        """Steps of both float32 networks in a precision."""
        conditions = replace(self.conditions, precision=precision)
        return compare_rounded(
            f"{self.title}, precision {precision}",
            self.truth,
            self.networks.reference,
            self.networks.shipped,
            precision,
            lambda network: take_step(for_training(network), self.batch, conditions),
        )


def masked_batches(config: ModelConfig, batch: Batch, seed: int) -> dict[str, Batch]:
    """Name → the batch under an attention mask: of numbers to add, and one that hides what comes later.

    Under the second all histories are full: a padded first order would have nothing to attend to.
    """
    T, rows = config.seq_len + 1, n_rows(batch)
    generator = torch.Generator().manual_seed(seed)
    full = random_rows(config, [[config.seq_len] * rows] * len(history_names(config.sequences)), seed)
    return {
        "mask of numbers": {
            **batch,
            ATTN_MASK: torch.randn(T, T, generator=generator, dtype=torch.float64),
        },
        "causal mask": {**full, ATTN_MASK: torch.ones(T, T, dtype=torch.bool).triu(1)},
    }
