"""One training step as training takes it: its precision, its loss and its dropout, forward and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsa_model.batch import ATTN_MASK, LABEL, MARGIN, Batch, as_dtype, n_rows
from tsa_model.equivalence.evidence.draws import SameDraws, set_apart
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.implementation import Implementation
from tsa_model.network.networks import Network

Gradients = dict[str, Tensor | None]
Objective = Callable[[Tensor, Tensor, int], Tensor]
"""(logits [B, C], labels [B], epoch) → loss, a scalar."""
LOWERED = {"32": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""A run's precision → what autocast computes in; None = autocast is off."""


@dataclass(frozen=True)
class Step:
    """What one training step computed.

    Attributes:
        logits: [B, C].
        loss: a scalar.
        gradients: of every parameter that is trained; None = it gets none.
        drawn: places of dropout and noise that were asked for numbers.
        strange: draws at no known place.
        generator: state of torch's generator afterwards: how much else was drawn.
    """

    logits: Tensor
    loss: Tensor
    gradients: Gradients
    drawn: frozenset[str]
    strange: tuple[str, ...]
    generator: Tensor


@dataclass(frozen=True)
class Conditions:
    """Under which a step is taken.

    Attributes:
        objective: the run's loss.
        precision: the run's; a float64 network is computed in float64 where it is `32`.
        rate: of every dropout; None = the network's own rates.
        policy: for the second expert; None = the network's own.
        seed: of all draws.
        epoch: that a loss may depend on.
    """

    objective: Objective
    precision: str = "32"
    rate: float | None = None
    policy: str | None = None
    seed: int = 0
    epoch: int = 0


def for_training(
    network: Network, policy: str | None = None, compute: Implementation | None = None
) -> Network:
    """A copy in training mode.

    Args:
        network: to copy.
        policy: for the second expert; None = the network's own.
        compute: another implementation; None = the network's own.
    """
    network = (copy.deepcopy(network) if compute is None else copy.deepcopy(network).twin(compute)).train()
    for module in network.modules():
        if isinstance(module, MixtureOfExperts) and policy is not None:
            module.second_policy_train = policy
    return network


def take_step(
    network: Network, batch: Batch, conditions: Conditions, objective: Objective | None = None
) -> Step:
    """Loss of a batch and the gradient of every parameter, with the draws the conditions fix.

    Args:
        network: made by `for_training`; its dropout rates are set apart, nothing else changes.
        batch: any precision.
        conditions: see there.
        objective: a loss that goes on counting from the step before; None = the conditions', as new.
    """
    objective = copy.deepcopy(conditions.objective) if objective is None else objective
    batch = as_dtype(_with_margins(batch, network, conditions.seed), next(network.parameters()).dtype)
    places, noisy = set_apart(network, conditions.rate)
    by_row = ATTN_MASK in batch  # under it no computation sorts its rows
    draws = SameDraws(places, noisy, by_row, conditions.seed)
    lowered = LOWERED[conditions.precision]
    torch.manual_seed(conditions.seed)
    with torch.autocast("cpu", dtype=lowered or torch.bfloat16, enabled=lowered is not None):
        with draws.watching_noise(), draws:
            logits, _ = network(batch)
        loss = objective(logits, batch[LABEL], conditions.epoch)
    generator = torch.get_rng_state()
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return Step(
        logits.detach(),
        loss.detach(),
        dict(zip(named, gradients, strict=True)),
        frozenset(draws.drawn),
        tuple(draws.strange),
        generator,
    )


def _with_margins(batch: Batch, network: Network, seed: int) -> Batch:
    """The batch as training gives it to a network with trees: each order with a margin that is not theirs.

    A network that learns apart from its trees has margins of 0 in training: any others show more.
    """
    if not network.config.boosted_trees:
        return batch
    generator = torch.Generator().manual_seed(seed)
    return {**batch, MARGIN: torch.randn(n_rows(batch), generator=generator, dtype=torch.float64)}


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter."""
    return {name: p.detach().clone() for name, p in network.named_parameters()}
