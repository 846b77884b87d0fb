"""Mixtures of experts other than the production one (TSA spec, section 11).

Both map [G, N, D] → [G, N, D], treat every token alone, and compute every expert on every token: a token's
result never depends on its batch, and every parameter receives a gradient. X counts experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.network.trace import SILENT, Trace


class NoisyTop2Experts(nn.Module):
    """Linear experts, the two likeliest weighed by their softmax; in training learned noise moves the choice.

    Args:
        dim: width D of a token.
        num_experts: experts, at least 2.
    """

    def __init__(self, dim: int, num_experts: int) -> None:
        super().__init__()
        if num_experts < 2:
            raise ValueError(f"num_experts={num_experts}: top-2 routing needs at least 2")
        self.w_gate = nn.Parameter(torch.zeros(dim, num_experts))
        self.w_noise = nn.Parameter(torch.zeros(dim, num_experts))
        self.experts = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_experts))

    def forward(self, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
        """Mix the experts; draws one normal number per token and expert in training mode.

        Traces `expert_load` [2, X]: tokens that have the expert as first and as second choice.
        """
        logits_GNX = x_GND @ self.w_gate
        if self.training:
            scale_GNX = functional.softplus(x_GND @ self.w_noise)
            logits_GNX = logits_GNX + scale_GNX * torch.randn_like(logits_GNX)
        top_GN2, chosen_GN2 = logits_GNX.topk(2, dim=-1)
        gates_GNX = torch.full_like(logits_GNX, float("-inf")).scatter(-1, chosen_GN2, top_GN2).softmax(-1)
        trace.record("expert_load", functional.one_hot(chosen_GN2, len(self.experts)).sum((0, 1)))
        return _mix(self.experts, gates_GNX, x_GND)


class DenseSoftmaxExperts(nn.Module):
    """Linear-ReLU-Linear experts, all of them weighed by the softmax of a linear gate.

    Args:
        dim: width D of a token.
        num_experts: experts.
        hidden_dim: hidden width of an expert.
    """

    def __init__(self, dim: int, num_experts: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, num_experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim))
            for _ in range(num_experts)
        )

    def forward(self, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
        """Mix the experts; traces `expert_load` [1, X], the sum of each expert's weights over the tokens."""
        gates_GNX = self.gate(x_GND).softmax(dim=-1)
        trace.record("expert_load", gates_GNX.sum((0, 1))[None])
        return _mix(self.experts, gates_GNX, x_GND)


def _mix(experts: nn.ModuleList, gates_GNX: Tensor, x_GND: Tensor) -> Tensor:
    # One expert at a time: the outputs of all of them together would be X times the activation.
    mixed_GND = torch.zeros_like(x_GND)
    for i, expert in enumerate(experts):
        mixed_GND = mixed_GND + gates_GNX[..., i : i + 1] * expert(x_GND)
    return mixed_GND
