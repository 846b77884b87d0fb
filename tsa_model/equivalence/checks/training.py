"""Check 4: would training the shipped network give the same model? Losses, gradients, steps.

Both networks are trained as the run trains them: with its loss, precision, batch size, dropout and optimiser,
and with the same random draws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tsa_model.batch import Batch, n_rows, rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.gradients import compare_rounded, compare_steps
from tsa_model.equivalence.checks.places import compare_places
from tsa_model.equivalence.checks.plain_losses import FORMULAS, plain_loss
from tsa_model.equivalence.checks.run_sizes import compare_sizes
from tsa_model.equivalence.checks.trajectory import compare_trajectories
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.networks import POLICIES, has_capacity
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.stand_in import RATE
from tsa_model.equivalence.evidence.training_step import Conditions, for_training, take_step
from tsa_model.equivalence.results import CheckResult, Measurement, at_most
from tsa_model.losses import compute_loss, create_loss_function
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

CERTAIN = 5.0
"""A logit of some rows the losses are compared on; beyond it the plain formulas themselves round too much."""
EPOCHS = (0, 1, 3)
"""Epochs at which the run's loss is compared."""


def check_training(evidences: dict[str, Evidence], config: TrainConfig, seed: int = 0) -> CheckResult:
    """Check 4.

    Args:
        evidences: name of the set of weights → evidence; the first are the trained weights.
        config: how the model is trained.
        seed: of all draws.
    """
    measurements = _losses(config) + _objective(config)
    trained, *others = evidences
    evidence = evidences[trained]
    networks, batch = evidence.networks, training_batch(evidence)
    conditions = Conditions(Objective(config), seed=seed)
    measurements += compare_places(networks.shipped, seed)
    truth = take_step(for_training(networks.reference64), batch, conditions)
    found = take_step(for_training(networks.shipped64), batch, conditions)
    measurements += compare_steps(trained, truth, found)
    lowered = replace(conditions, precision=config.precision)
    measurements += compare_rounded(
        f"{trained}, precision {config.precision}",
        truth,
        networks.reference,
        networks.shipped,
        config.precision,
        lambda network: take_step(for_training(network), batch, lowered),
    )
    for label in others:
        batch_of = training_batch(evidences[label])
        policies = POLICIES if has_capacity(networks.shipped.config) else (None,)
        cut = evidences[label].in_small_pieces(n_rows(batch_of))
        for policy in policies:
            name = label if policy is None else f"{label}, second expert {policy}"
            dropping = replace(conditions, rate=RATE, policy=policy)
            measurements += compare_training(name, cut, batch_of, dropping)
    n_steps = evidence.effort.training_steps
    measurements += compare_trajectories(
        trained, *networks.pair(torch.float64), batch, config, conditions, n_steps
    )
    measurements += compare_sizes(networks.shipped.config, config, max(2, torch.get_num_threads()), seed)
    return TRAINING.conclude(
        measurements,
        f"{len(FORMULAS)} losses, every parameter's gradient and {n_steps} optimiser steps agree",
    )


TRAINING = Check(
    4,
    "Training",
    "Do losses, gradients and optimiser steps agree, so that both networks would learn the same?",
    lambda subject: check_training(subject.evidences, subject.training),
)


def _losses(config: TrainConfig) -> list[Measurement]:
    """Every shipped loss against its plain formula, with defaults; the configured one as configured."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(24, 2, dtype=torch.float64, generator=generator)
    logits[:4] = CERTAIN * logits[:4].sign()
    labels = torch.randint(0, 2, (24,), generator=generator)
    cases: list[tuple[str, str, dict[str, Any]]] = [(name, name, {}) for name in FORMULAS]
    cases.append((f"{config.loss} as configured", config.loss, dict(config.loss_parameters)))
    measurements = []
    for title, name, parameters in cases:
        shipped = create_loss_function(name, **parameters)
        x, y = (logits.clone().requires_grad_() for _ in range(2))
        found = compute_loss(shipped, x, labels, 1)
        expected = plain_loss(name, parameters, y, labels, 1)
        if found.shape != expected.shape:
            measurements.append(at_most(f"loss {title}: difference in shape", 1, 0))
            continue
        (found_grad,) = torch.autograd.grad(found.sum(), x)
        (expected_grad,) = torch.autograd.grad(expected.sum(), y)
        gap = max(
            difference(found.detach().reshape(-1), expected.detach().reshape(-1)).relative,
            difference(found_grad, expected_grad).relative,
        )
        measurements.append(
            at_most(f"loss {title}: relative difference of value and gradient", gap, tolerance.LOSS)
        )
    return measurements


def _objective(config: TrainConfig) -> list[Measurement]:
    """The run's loss as training reduces it: a mean over the rows unless its own `reduction` says `sum`."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(11, 2, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 2, (11,), generator=generator)
    parameters = dict(config.loss_parameters)
    if config.loss == "CyclicalFocalLoss":
        parameters.setdefault("epochs", config.max_epochs)
    gap = 0.0
    for epoch in EPOCHS:
        if config.loss == "SteppedCyclicalFocalLoss" and epoch:
            continue  # the plain formula is of the first call
        found = Objective(config)(logits, labels, epoch)
        expected = plain_loss(config.loss, parameters, logits, labels, epoch)
        if config.loss.startswith("AsymmetricLoss"):
            expected = expected / len(labels)
        gap = max(gap, difference(found.detach(), expected.mean().detach()).relative)
    return [at_most(f"loss {config.loss} as training reduces it: relative difference", gap, tolerance.LOSS)]


def training_batch(evidence: Evidence) -> Batch:
    """Rows of a training batch, real ones and edge cases."""
    n = len(evidence.traced_rows)
    rows = torch.linspace(0, n - 1, min(n, evidence.effort.training_rows)).round().long()
    return rows_of(evidence.traced_batch, rows)


def compare_training(
    title: str, evidence: Evidence, batch: Batch, conditions: Conditions
) -> list[Measurement]:
    """One training step of both float64 networks."""
    reference, shipped = (
        take_step(for_training(network, conditions.policy), batch, conditions)
        for network in evidence.networks.pair(torch.float64)
    )
    return compare_steps(title, reference, shipped)
