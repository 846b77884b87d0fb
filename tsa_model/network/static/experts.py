"""Mixture of experts without counting on the host: tokens lie in blocks of slots, and a block has one expert.

How many tokens an expert gets is known to the device only, but not how many blocks are enough: all tokens
together fill `most // size` blocks, and each expert leaves at most one block partly empty.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsa_model.network.fast.experts import Choice, choose, gates
from tsa_model.network.parameters import MixtureParameters

LARGEST_BLOCK = 256
"""Slots of a block, at most: enough for a matrix product to reach its rate."""
EMPTY_SHARE = 16
"""A block is so small that partly empty ones are together about one in this many of the tokens."""


class Slots(NamedTuple):
    """Which token lies in which slot.

    Attributes:
        token_S: token of each slot, int64 [blocks · size]; token 0 in an empty one, which nobody reads.
        expert_K: expert of each block, int64 [blocks].
        slot_2n: slot of each assignment, int64 [2, n]; any slot where it was dropped.
    """

    token_S: Tensor
    expert_K: Tensor
    slot_2n: Tensor


def block_size(most: int, n_experts: int) -> int:
    """Slots of a block for `most` assignments, a power of two."""
    wanted = max(1, most // (EMPTY_SHARE * n_experts))
    return min(LARGEST_BLOCK, 1 << (wanted.bit_length() - 1))


def lay_out(choice: Choice, n_experts: int, most: int) -> Slots:
    """Place every kept assignment in a slot of its expert.

    Args:
        choice: of n tokens, at least one.
        n_experts: X.
        most: assignments that can be kept, at most.
    """
    expert_A, kept_A = choice.expert.reshape(-1), choice.kept.reshape(-1)
    device, n = expert_A.device, len(expert_A) // 2
    size = block_size(most, n_experts)
    n_blocks = most // size + n_experts
    is_expert_XA = (expert_A == torch.arange(n_experts, device=device)[:, None]) & kept_A
    rank_XA = is_expert_XA.cumsum(dim=1, dtype=torch.int32)
    blocks_X = (rank_XA[:, -1].long() + size - 1) // size
    end_X = blocks_X.cumsum(0)
    first_slot_X = (end_X - blocks_X) * size
    slot_A = rank_XA.gather(0, expert_A[None])[0] - 1 + first_slot_X.index_select(0, expert_A)
    slot_A = slot_A.masked_fill(~kept_A, n_blocks * size)  # one more slot, for what was dropped
    token_A = torch.arange(n, device=device).repeat(2)
    token_S = token_A.new_zeros(n_blocks * size + 1).scatter(0, slot_A, token_A)[:-1]
    expert_K = (torch.arange(n_blocks, device=device)[:, None] >= end_X).sum(dim=1).clamp(max=n_experts - 1)
    return Slots(token_S, expert_K, slot_A.clamp(max=n_blocks * size - 1).view(2, n))


def mix(
    block: MixtureParameters, x_BTE: Tensor, n_positions: int | None = None, n_present: Tensor | None = None
) -> Tensor:
    """Σ kept gate · expert(x) of every token, [B, T, E]; a token that lost both experts gets 0.

    Args:
        block: the mixture.
        x_BTE: tokens; the rows queue for slots, unless `block.unlimited`.
        n_positions: positions random numbers are drawn for; by default those of a row.
        n_present: how many of the rows, the first ones, take part at all, int64 []; None = every row.
    """
    B, T, E = x_BTE.shape
    if B * T == 0:
        return x_BTE
    x_nE = x_BTE.reshape(B * T, E)
    gates_XBT = gates(block, x_nE).unflatten(1, (B, T))
    choice = choose(block, gates_XBT, n_positions or T, n_present)
    most = 2 * B * T
    if not block.unlimited:
        most = min(most, T * block.num_experts * block.capacity(B))
    slots = lay_out(choice, block.num_experts, most)
    x_KSE = x_nE.index_select(0, slots.token_S).unflatten(0, (len(slots.expert_K), -1))
    hidden_KSH = torch.relu(torch.bmm(x_KSE, block.experts.w1.index_select(0, slots.expert_K)))
    y_SE = torch.bmm(hidden_KSH, block.experts.w2.index_select(0, slots.expert_K)).flatten(0, 1)
    gate_2n1 = (choice.gate * choice.kept).view(2, -1, 1)
    first_nE, second_nE = (y_SE.index_select(0, slot_n) for slot_n in slots.slot_2n)
    return (gate_2n1[0] * first_nE + gate_2n1[1] * second_nE).view(B, T, E)
