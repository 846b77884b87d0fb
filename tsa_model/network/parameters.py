"""What both computations must tell apart by its kind: the parameters and rules of two blocks, without a
computation of their own. The blocks themselves are in `blocks.py`.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

from tsa_model.network.implementation import Implementation, ImplementationName

FEATURE_AGGREGATION_HALVINGS = 5
MIN_EXPERT_CAPACITY = 4


class Block(nn.Module):
    """A part of the network whose computation was handed in; every implementation reads the same parameters.

    Attributes:
        compute: the functions this block computes with.
    """

    def __init__(self, compute: Implementation) -> None:
        super().__init__()
        self.compute = compute

    @property
    def implementation(self) -> ImplementationName:
        """Name of the implementation."""
        return self.compute.name


class AggregationParameters(Block):
    """The MLP along the feature axis (TSA spec, section 3).

    Args:
        n_features: F. Widths halve five times, never below 1, and end at 1.
        compute: the implementation.
    """

    def __init__(self, n_features: int, compute: Implementation) -> None:
        super().__init__(compute)
        widths = [max(1, n_features // 2**k) for k in range(FEATURE_AGGREGATION_HALVINGS + 1)] + [1]
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            if i:
                layers.append(nn.LeakyReLU(0.01))
            layers.append(nn.Linear(n_in, n_out))
        self.encoder = nn.Sequential(*layers)


class _Top2Gate(nn.Module):
    def __init__(self, dim: int, num_experts: int) -> None:
        super().__init__()
        self.w_gating = nn.Parameter(torch.randn(dim, num_experts))


class _Experts(nn.Module):
    def __init__(self, dim: int, num_experts: int, hidden_dim: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(num_experts, dim, hidden_dim).uniform_(-1, 1) / dim**0.5)
        self.w2 = nn.Parameter(torch.empty(num_experts, hidden_dim, dim).uniform_(-1, 1) / hidden_dim**0.5)


class MixtureParameters(Block):
    """Gate, experts, and the rules by which tokens go to them (TSA spec, section 6).

    Args:
        dim: width D of a token.
        num_experts: experts, at least 2.
        hidden_dim: hidden width of an expert.
        second_policy_train: what happens to the second expert in training: random | all | none | threshold.
        second_policy_eval: the same in evaluation.
        deterministic_eval: in evaluation keep every second expert and drop the capacity limit, so that
            a row's result does not depend on its batch.
        compute: the implementation.
    """

    def __init__(
        self,
        dim: int,
        num_experts: int,
        hidden_dim: int,
        second_policy_train: str,
        second_policy_eval: str,
        deterministic_eval: bool,
        compute: Implementation,
    ) -> None:
        super().__init__(compute)
        self.num_experts = num_experts
        self.gate = _Top2Gate(dim, num_experts)
        self.experts = _Experts(dim, num_experts, hidden_dim)
        self.second_policy_train = second_policy_train
        self.second_policy_eval = second_policy_eval
        self.deterministic_eval = deterministic_eval
        self.capacity_factor_train = 1.25
        self.capacity_factor_eval = 2.0

    @property
    def unlimited(self) -> bool:
        """No capacity limit and no dropped second expert: rows do not influence each other."""
        return self.deterministic_eval and not self.training

    @property
    def second_policy(self) -> str:
        """The policy in force."""
        if self.unlimited:
            return "all"
        return self.second_policy_train if self.training else self.second_policy_eval

    def capacity(self, n_tokens: int) -> int:
        """Tokens of a group one expert accepts."""
        if self.unlimited:
            return max(n_tokens, 1)
        factor = self.capacity_factor_train if self.training else self.capacity_factor_eval
        return max(min(n_tokens, int(n_tokens * factor / self.num_experts)), MIN_EXPERT_CAPACITY)
