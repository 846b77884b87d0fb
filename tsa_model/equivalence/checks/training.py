"""Check 4: would training the shipped network give the same model? Losses, gradients, steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.batch import LABEL, Batch, as_dtype, n_rows, rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.dropout import measure_dropout
from tsa_model.equivalence.checks.plain_losses import FORMULAS, plain_loss
from tsa_model.equivalence.checks.rounding import nudged
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.networks import POLICIES, has_capacity, outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most
from tsa_model.losses import compute_loss, create_loss_function
from tsa_model.network.blocks import MixtureOfExperts, TemporalMultiheadAttention
from tsa_model.network.forms.experts import NoisyTop2Experts
from tsa_model.network.networks import Network
from tsa_model.settings.training import TrainConfig

LEARNING_RATE = 1e-3
N_NUDGED = 2
CERTAIN = 5.0
"""A logit of some rows the losses are compared on; beyond it the plain formulas themselves round too much."""
Gradients = dict[str, Tensor | None]


def check_training(evidences: dict[str, Evidence], config: TrainConfig, seed: int = 0) -> CheckResult:
    """Check 4.

    Args:
        evidences: name of the set of weights → evidence; the first are the trained weights.
        config: loss and optimizer the model is trained with.
        seed: of the draws of the random second-expert policy.
    """
    measurements = _losses(config)
    trained, *others = evidences
    n_steps = evidences[trained].effort.training_steps
    measurements += compare_gradients(trained, evidences[trained], config, None, seed)
    for label in others:
        policies = POLICIES if has_capacity(evidences[label].networks.shipped.config) else (None,)
        cut = evidences[label].in_small_pieces(n_rows(_batch(evidences[label])))
        for policy in policies:
            measurements += compare_gradients(label, cut, config, policy, seed)
    measurements += _trajectory(trained, evidences[trained], config, seed)
    measurements += _float32_gradients(trained, evidences[trained], config)
    measurements += measure_dropout(evidences[trained].networks.shipped.config, seed)
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


def for_training(network: Network, policy: str | None = None) -> Network:
    """A copy in training mode without dropout and noise, whose draws two computations need not share."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, TemporalMultiheadAttention):
            module.dropout = 0.0
        if isinstance(module, NoisyTop2Experts):
            module.eval()
        if isinstance(module, MixtureOfExperts) and policy is not None:
            module.second_policy_train = policy
    return network


def _batch(evidence: Evidence) -> Batch:
    n = len(evidence.traced_rows)
    rows = torch.linspace(0, n - 1, min(n, evidence.effort.training_rows)).round().long()
    return rows_of(evidence.traced_batch, rows)


def loss_and_gradients(
    network: Network, batch: Batch, loss: nn.Module, seed: int
) -> tuple[Tensor, Gradients]:
    """Mean loss of a batch, and the gradient of every parameter (None = it gets none)."""
    batch = as_dtype(batch, next(network.parameters()).dtype)
    torch.manual_seed(seed)
    logits, _ = network(batch)
    value = compute_loss(loss, logits, batch[LABEL]).mean()
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    return value.detach(), dict(zip(named, gradients, strict=True))


def compare_gradients(
    label: str, evidence: Evidence, config: TrainConfig, policy: str | None = None, seed: int = 0
) -> list[Measurement]:
    """Loss and gradients in float64 and training mode.

    Args:
        label: of the set of weights.
        evidence: networks and rows.
        config: the loss.
        policy: for the second expert; None = the network's own.
        seed: of the random policy's draws.
    """
    batch = _batch(evidence)
    loss = create_loss_function(config.loss, **config.loss_parameters)
    reference, shipped = (for_training(n, policy) for n in evidence.networks.pair(torch.float64))
    expected_loss, expected = loss_and_gradients(reference, batch, loss, seed)
    found_loss, found = loss_and_gradients(shipped, batch, loss, seed)
    name = label if policy is None else f"{label}, second expert {policy}"
    missing = [key for key in expected if (expected[key] is None) != (found.get(key) is None)]
    scale = max((g.abs().max().item() for g in expected.values() if g is not None), default=0.0)
    gaps = [(_gradient_gap(found[key], g, scale), key) for key, g in _both(expected, found)]
    worst, where = max(gaps, default=(0.0, ""))
    return [
        at_most(
            f"{name}: training loss, share of the allowed difference",
            difference(found_loss, expected_loss).used,
            1.0,
        ),
        at_most(
            f"{name}: parameters that get a gradient in one network only", len(missing), 0, str(missing[:3])
        ),
        at_most(f"{name}: gradients, largest share of the allowed difference", worst, 1.0, where),
        at_least(f"{name}: parameters whose gradients were compared", len(gaps), 1),
    ]


def _both(expected: Gradients, found: Gradients) -> Iterator[tuple[str, Tensor]]:
    for key, gradient in expected.items():
        if gradient is not None and found.get(key) is not None:
            yield key, gradient


def _gradient_gap(found: Tensor | None, expected: Tensor, scale: float) -> float:
    """Largest difference over what is allowed; gradients that cancel to zero have the noise of the others."""
    assert found is not None
    allowed = tolerance.GRADIENT * expected.abs().max().item() + tolerance.GRADIENT_NOISE * scale
    gap = (found - expected).abs().nan_to_num(torch.inf).max().item()
    return gap / allowed if allowed else float(gap > 0)


def _trajectory(label: str, evidence: Evidence, config: TrainConfig, seed: int) -> list[Measurement]:
    """Steps of the configured optimiser from the same weights, in float64."""
    batch, n_steps = _batch(evidence), evidence.effort.training_steps
    losses, parameters, evaluations = [], [], []
    for network in evidence.networks.pair(torch.float64):
        network = for_training(network)
        made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
        optimizer = made(network.parameters(), lr=LEARNING_RATE, weight_decay=config.weight_decay)
        loss = create_loss_function(config.loss, **config.loss_parameters)
        steps, first = [], {}
        _evaluate(network, batch)  # whatever it keeps from this call is stale after the first step
        for step in range(n_steps):
            value, gradients = loss_and_gradients(network, batch, loss, seed + step)
            for name, parameter in network.named_parameters():
                parameter.grad = gradients.get(name)
            optimizer.step()
            steps.append(value)
            if step == 0:
                first = {name: p.detach().clone() for name, p in network.named_parameters()}
        losses.append(torch.stack(steps))
        evaluations.append(_evaluate(network, batch))
        parameters.append((first, {name: p.detach() for name, p in network.named_parameters()}))
    expected, found = parameters
    measurements = [
        at_most(
            f"{label}: loss over {n_steps} steps, share of the allowed difference",
            difference(losses[1], losses[0]).used,
            1.0,
        ),
        at_most(
            f"{label}: logits after {n_steps} steps, share of the allowed difference",
            difference(evaluations[1], evaluations[0]).used,
            1.0,
        ),
    ]
    for title, now, then in (
        ("one step", found[0], expected[0]),
        (f"{n_steps} steps", found[1], expected[1]),
    ):
        worst, where = max((difference(now[name], then[name]).used, name) for name in then)
        measurements.append(
            at_most(f"{label}: weights after {title}, share of the allowed difference", worst, 1.0, where)
        )
    return measurements


def _evaluate(network: Network, batch: Batch) -> Tensor:
    """Logits in evaluation mode; every module's mode is as before afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    logits = outputs(network.eval(), batch)["logits"]
    for module, training in modes:
        module.training = training
    return logits


def _float32_gradients(label: str, evidence: Evidence, config: TrainConfig) -> list[Measurement]:
    """Gradients in float32 and evaluation mode, where no decision depends on other rows.

    A gradient jumps where a ReLU's input rounds across zero, in any float32 run. So several runs with nudged
    weights are made: the median of the shipped network's errors counts, against the reference's largest.
    """
    (held,) = torch.where(~evidence.at_risk[: evidence.sample.n_real])
    if len(held) == 0:
        return []
    batch = rows_of(evidence.sample.batch, held[:: max(1, len(held) // evidence.effort.training_rows)])
    loss = create_loss_function(config.loss, **config.loss_parameters)
    networks = evidence.networks
    truth = _compact(loss_and_gradients(networks.reference64, batch, loss, 0)[1])
    scale = max(g.norm().item() for g in truth.values())
    names = [key for key, g in truth.items() if g.norm() > tolerance.GRADIENT_NEGLIGIBLE * scale]

    def errors(network: Network) -> Tensor:
        found = _compact(loss_and_gradients(network, batch, loss, 0)[1])
        return torch.stack([_relative(found.get(key), truth[key]) for key in names])

    error, own = (
        torch.stack([errors(network), *(errors(nudged(network, seed)) for seed in range(N_NUDGED))])
        for network in (networks.shipped, networks.reference)
    )
    return _gradient_errors(label, names, error.median(dim=0).values, own.amax(dim=0))


def _compact(gradients: Gradients) -> dict[str, Tensor]:
    return {key: g.double() for key, g in gradients.items() if g is not None}


def _relative(found: Tensor | None, truth: Tensor) -> Tensor:
    gap = truth if found is None else found - truth
    return (gap.norm() / truth.norm()).nan_to_num(torch.inf)


def _gradient_errors(label: str, names: list[str], error: Tensor, own: Tensor) -> list[Measurement]:
    floor = tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(torch.float32)
    worst = int(error.argmax())
    largest = error[worst].item() / max(own.max().item(), floor)
    typical = error.median().item() / max(own.median().item(), floor / 4)
    title, worst_one = f"{label}: float32 gradients", names[worst]
    return [
        at_most(
            f"{title}, largest relative error / the reference's",
            largest,
            tolerance.BLOCK_ROUNDING_FACTOR,
            worst_one,
        ),
        at_most(f"{title}, median relative error / the reference's", typical, tolerance.ROUNDING_FACTOR),
    ]
