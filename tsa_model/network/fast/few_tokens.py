"""Mixture of experts for few tokens: every expert runs on all, and what a token did not choose counts 0.

Two matrix products replace the sorting by expert, whose many small operations cost more than a few tokens do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.network.fast.prepared import is_plain
from tsa_model.network.parameters import MixtureParameters


def pays(block: MixtureParameters, x_nE: Tensor, dense_work: int) -> bool:
    """Whether tokens are few enough; see `PieceSizes.dense_work`. In training they never are."""
    n_multiplications = 2 * len(x_nE) * block.experts.w1.numel()
    return n_multiplications <= dense_work and is_plain(block.training, x_nE.device)


def run(block: MixtureParameters, x_nE: Tensor, weight_Xn: Tensor) -> Tensor:
    """Σ weight · expert(x) of every token, [n, E], with the weights of all experts, [X, n]."""
    X, E, H = block.experts.w1.shape
    hidden_XnH = torch.bmm(x_nE.expand(X, -1, -1), block.experts.w1)
    hidden_XnH.relu_().mul_(weight_Xn[:, :, None])
    return hidden_XnH.transpose(0, 1).reshape(-1, X * H) @ block.experts.w2.view(X * H, E)


def two_best(gates_Xn: Tensor) -> Tensor:
    """The weights where every token keeps both experts: `experts.choose` without a rule, in one tensor."""
    first_gate_1n, first_1n = gates_Xn.max(dim=0, keepdim=True)
    others_Xn = gates_Xn.scatter(0, first_1n, 0.0)
    second_gate_1n, second_1n = others_Xn.max(dim=0, keepdim=True)
    total_1n = (first_gate_1n + second_gate_1n).add_(1e-9)
    # The first one last: where all other gates are 0, it can stand in both places.
    weight_Xn = others_Xn.zero_().scatter_(0, second_1n, second_gate_1n)
    return weight_Xn.scatter_(0, first_1n, first_gate_1n).div_(total_1n)


def of_choice(expert_2n: Tensor, gate_2n: Tensor, n_experts: int) -> Tensor:
    """The weights of two experts a token with the gates that are kept of them, 0 where dropped."""
    weight_Xn = gate_2n.new_zeros(n_experts, gate_2n.shape[1])
    return weight_Xn.scatter_add_(0, expert_2n, gate_2n)
