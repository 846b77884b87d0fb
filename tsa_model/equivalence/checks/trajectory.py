"""Check 4, some steps: the run's own optimiser, schedule and clipping, from the same weights, in float64.

Training multiplies small differences: with some networks (cosine time encodings read times of 10^7 seconds) a
rounding of the first weights grows to 10^5 times what the promise allows within five steps. Such a trajectory
is held against the reference's own: the reference is trained again from weights moved by a rounding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from tsa_model.batch import Batch
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.rounding import nudged
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.training_step import Conditions, for_training, take_step, weights_of
from tsa_model.equivalence.results import Measurement, at_most
from tsa_model.network.networks import Network
from tsa_model.settings.training import TrainConfig
from tsa_model.training.schedules import create_optimizer, create_schedule


@dataclass(frozen=True)
class Trajectory:
    """What some steps of training gave.

    Attributes:
        values: name → tensor: losses, logits afterwards, and every parameter after one step and at the end.
        rates: learning rate of every step.
    """

    values: dict[str, dict[str, Tensor]]
    rates: list[float]


def compare_trajectories(
    title: str, reference: Network, shipped: Network, batch: Batch, run: TrainConfig, conditions: Conditions,
    n_steps: int,
) -> list[Measurement]:  # fmt: skip
    """Train both networks a few steps.

    Args:
        title: of the set of weights.
        reference: float64.
        shipped: float64.
        batch: every step's rows.
        run: optimiser, schedule and clipping.
        conditions: of the first step; the seed and the epoch advance with every step.
        n_steps: how many.
    """

    def train(network: Network) -> Trajectory:
        return train_some_steps(network, batch, run, conditions, n_steps)

    expected, found = train(reference), train(shipped)
    own: dict[str, float] = {}
    measurements = _compare(title, n_steps, expected, found, own)
    if not all(m.passed for m in measurements):
        for seed in range(tolerance.N_TRAJECTORIES):
            other = train(nudged(reference, seed))
            for kind in expected.values:
                own[kind] = max(own.get(kind, 0.0), _used(expected, other, kind)[0])
        measurements = _compare(title, n_steps, expected, found, own)
    return measurements


def train_some_steps(
    network: Network, batch: Batch, run: TrainConfig, conditions: Conditions, n_steps: int
) -> Trajectory:
    """Train a copy as a run does: its optimiser, schedule, clipping, dropout and loss."""
    trained = for_training(network, conditions.policy)
    optimizer = create_optimizer(trained, run)
    schedule = create_schedule(optimizer, run, n_steps)
    objective = copy.deepcopy(conditions.objective)  # it may count its calls
    losses, rates, first = [], [], {}
    evaluate(trained, batch)  # whatever it keeps from this call is stale after the first step
    for i in range(n_steps):
        step = take_step(trained, batch, replace(conditions, seed=conditions.seed + i, epoch=i), objective)
        for name, parameter in trained.named_parameters():
            parameter.grad = step.gradients.get(name)
        if run.gradient_clip:
            clip_grad_norm_(trained.parameters(), run.gradient_clip)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if i < n_steps - 1:
            schedule.step()
        losses.append(step.loss)
        if i == 0:
            first = weights_of(trained)
    logits = evaluate(trained, batch)
    values = {
        "loss": {"": torch.stack(losses)},
        "logits": {"": logits},
        "weights after one step": first,
        "weights": weights_of(trained),
    }
    return Trajectory(values, rates)


def evaluate(network: Network, batch: Batch) -> Tensor:
    """Logits in evaluation mode; every module's mode is as before afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    logits = outputs(network.eval(), batch)["logits"]
    for module, training in modes:
        module.training = training
    return logits


def _used(expected: Trajectory, found: Trajectory, kind: str) -> tuple[float, str]:
    """Largest share of the promise that is used up, and where."""
    pairs = ((found.values[kind][name], x, name) for name, x in expected.values[kind].items())
    return max((_difference(x, y), name) for x, y, name in pairs)


def _difference(x: Tensor, expected: Tensor) -> float:
    allowed = tolerance.ATOL + tolerance.RTOL * expected.abs()
    return ((x - expected).abs() / allowed).nan_to_num(torch.inf).max().item()


def _compare(
    title: str, n_steps: int, expected: Trajectory, found: Trajectory, own: dict[str, float]
) -> list[Measurement]:
    measurements = []
    for kind in expected.values:
        used, where = _used(expected, found, kind)
        bound = max(1.0, tolerance.DIVERGENCE_FACTOR * own.get(kind, 0.0))
        words = kind if "one step" in kind else f"{kind} over {n_steps} steps"
        measurements.append(at_most(f"{title}: {words}, share of the allowed difference", used, bound, where))
    return measurements
