"""Mixture of experts by index: route, sort the tokens by expert, one matrix product per expert and layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tsa_model.network.fast import few_tokens
from tsa_model.network.fast.autocast import lowered
from tsa_model.network.fast.pieces import PieceSizes, even_size
from tsa_model.network.fast.products import add_gradient, product
from tsa_model.network.parameters import MixtureParameters


@dataclass(frozen=True)
class Routing:
    """Where each token goes: two assignments a token (first and second choice), sorted by expert.

    Attributes:
        position_2n: row of each assignment in the sorted order; those that were dropped come last.
        token_K: token of each kept assignment, in sorted order.
        counts: kept assignments per expert.
    """

    position_2n: Tensor
    token_K: Tensor
    counts: list[int]


@dataclass(frozen=True)
class Choice:
    """Which two experts every token goes to; the first dimension counts first and second choice.

    Attributes:
        expert: index of the expert, int64 [2, B, T].
        gate: its gate, normalised over the two; carries the gradient.
        kept: False where policy or capacity dropped the assignment.
    """

    expert: Tensor
    gate: Tensor
    kept: Tensor

    @classmethod
    def cat(cls, choices: list[Choice]) -> Choice:
        """The tokens of all choices in one row, [2, 1, n]."""
        names = ("expert", "gate", "kept")
        return cls(*(torch.cat([getattr(c, name).flatten(1) for c in choices], 1)[:, None] for name in names))

    def split(self, size: int) -> list[Choice]:
        """The choices of `size` consecutive tokens each."""
        parts = (tensor.flatten(1).split(size, dim=1) for tensor in (self.expert, self.gate, self.kept))
        return [Choice(*tensors) for tensors in zip(*parts, strict=True)]

    def of_rows(self, index: Tensor) -> Choice:
        """The choices of some rows of the batch."""
        return Choice(*(each.index_select(1, index) for each in (self.expert, self.gate, self.kept)))

    def of_tokens(self, place_n: Tensor) -> Choice:
        """The choices of the tokens with some numbers row · T + position, in one row, [2, 1, n]."""
        tensors = (self.expert, self.gate, self.kept)
        return Choice(*(each.flatten(1).index_select(1, place_n)[:, None] for each in tensors))

    def at(self, positions: slice | Tensor) -> Choice:
        """The choices at some positions: the same in every row, or int64 [B, n] for each row its own."""
        tensors = (self.expert, self.gate, self.kept)
        if isinstance(positions, slice):
            return Choice(*(each[..., positions] for each in tensors))
        return Choice(*(each.gather(2, positions.expand(2, -1, -1)) for each in tensors))


def gates(block: MixtureParameters, x_nE: Tensor) -> Tensor:
    """Softmax over the experts, [X, n]: experts first, so that comparisons run along contiguous memory."""
    w_XE = block.gate.w_gating.t().contiguous()  # or a slow product with X columns would make its gradient
    return torch.softmax(functional.linear(w_XE, x_nE).to(x_nE.dtype), dim=0)


def _top2(gates_XBT: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the two largest gates, and these gates, [2, B, T]; the lower index wins a tie."""
    best_1BT, first_1BT = gates_XBT.max(dim=0, keepdim=True)
    # As the legacy does, look for the second among the gates with the first one set to 0. Where all others
    # are 0, the first expert can stand in both places; what is left for it then is 0.
    next_1BT, second_1BT = gates_XBT.scatter(0, first_1BT, 0.0).max(dim=0, keepdim=True)
    return torch.cat([first_1BT, second_1BT]), torch.cat([best_1BT, next_1BT])


def choose(
    block: MixtureParameters, gates_XBT: Tensor, n_positions: int, n_present: Tensor | None = None
) -> Choice:
    """Top-2 choice of every token under the policy and the capacity (TSA spec, section 6).

    Groups are positions (T) and the rows of the batch (B) queue for slots.

    Args:
        block: the mixture.
        gates_XBT: softmax over the experts, of the last T positions.
        n_positions: positions random numbers are drawn for, at least T.
        n_present: how many of the rows, the first ones, take part at all, int64 []; None = every row.
    """
    X, B, T = gates_XBT.shape
    device = gates_XBT.device
    expert_2BT, gate_2BT = _top2(gates_XBT)
    gate_2BT = gate_2BT / (gate_2BT.sum(dim=0) + 1e-9)

    policy = block.second_policy
    kept_2BT = torch.ones(2, B, T, dtype=torch.bool, device=device)
    if policy == "none":
        kept_2BT[1] = False
    elif policy == "random":
        draws = torch.rand(n_positions, B, dtype=gate_2BT.dtype, device=device)
        kept_2BT[1] = draws[n_positions - T :].t() < gate_2BT[1].detach() / 0.2
    elif policy == "threshold":
        kept_2BT[1] = gate_2BT[1].detach() > 0.2
    capacity: int | Tensor = block.capacity(B)
    if n_present is not None:
        kept_2BT &= (torch.arange(B, device=device) < n_present)[:, None]
        capacity = block.capacity_of(n_present)
    if block.may_queue(B):
        _apply_capacity(kept_2BT, expert_2BT[:1], expert_2BT[1:], X, capacity)
    return Choice(expert_2BT, gate_2BT, kept_2BT)


def _apply_capacity(
    kept_2BT: Tensor, first_1BT: Tensor, second_1BT: Tensor, n_experts: int, capacity: int | Tensor
) -> None:
    """Drop what finds no slot: first choices queue in row order, kept second choices behind them."""
    expert_X11 = torch.arange(n_experts, device=kept_2BT.device)[:, None, None]
    queue_XBT = ((first_1BT == expert_X11) & kept_2BT[0]).cumsum(dim=1, dtype=torch.int32)
    kept_2BT[0] &= queue_XBT.gather(0, first_1BT)[0] <= capacity
    accepted_X1T = queue_XBT[:, -1:].clamp(max=capacity)
    queue_XBT = ((second_1BT == expert_X11) & kept_2BT[1]).cumsum(dim=1, dtype=torch.int32) + accepted_X1T
    kept_2BT[1] &= queue_XBT.gather(0, second_1BT)[0] <= capacity


def sort_by_expert(choice: Choice, n_experts: int) -> Routing:
    """Counting sort of the assignments by expert; dropped ones go behind the last expert."""
    expert_2n, kept_2n = choice.expert.reshape(2, -1), choice.kept.reshape(2, -1)
    n, device = expert_2n.shape[1], expert_2n.device
    expert_2n = expert_2n.masked_fill(~kept_2n, n_experts).view(-1)
    is_expert = expert_2n == torch.arange(n_experts + 1, device=device)[:, None]
    rank = is_expert.cumsum(dim=1, dtype=torch.int32)
    counts = rank[:, -1] if n else rank.new_zeros(n_experts + 1)
    start = counts.cumsum(0) - counts
    position = rank.gather(0, expert_2n[None])[0] - 1 + start[expert_2n]
    token = torch.arange(n, device=device).repeat(2)
    token_sorted = torch.empty_like(token).scatter_(0, position, token)
    *kept_counts, n_dropped = counts.tolist()
    n_kept = 2 * n - n_dropped
    return Routing(position.view(2, n), token_sorted[:n_kept], kept_counts)


def run(
    block: MixtureParameters,
    x_nE: Tensor,
    choice: Choice,
    sizes: PieceSizes,
    residual_nE: Tensor | None = None,
) -> Iterator[Tensor]:
    """Σ kept gate · expert(x) of every token, [n, E] in parts; a token that lost both experts gets 0.

    With gradients there is one part, to which `residual_nE` is added; it may be `x_nE` itself.
    """
    n, E = x_nE.shape
    size = even_size(n, sizes.rows_at_once(E, x_nE))
    routings = (sort_by_expert(part, block.num_experts) for part in choice.split(size))
    gate_2n = (choice.gate * choice.kept).flatten(1)
    x, w1, w2, gate_2n = lowered(x_nE, block.experts.w1, block.experts.w2, gate_2n)
    if not torch.is_grad_enabled():
        for routing, part, gate in zip(routings, x.split(size), gate_2n.split(size, dim=1), strict=True):
            yield _weighted_rows(_expert_rows(part, w1, w2, routing)[0], routing.position_2n, gate)
        return
    fused = residual_nE if x is x_nE else None  # not under mixed precision
    own = fused is x_nE
    y_nE = _RoutedExperts.apply(x, None if own else fused, own, gate_2n, w1, w2, tuple(routings), size)
    yield y_nE if residual_nE is fused else residual_nE + y_nE


def mix(
    block: MixtureParameters, x_nE: Tensor, n_rows: int, sizes: PieceSizes,
    n_positions: int | None = None, residual_nE: Tensor | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """The whole mixture, [n, E] in parts.

    Args:
        block: the mixture.
        x_nE: tokens, row after row; rows that queue for slots have the same number of them.
        n_rows: rows of the batch.
        sizes: of the parts.
        n_positions: positions random numbers are drawn for; by default those of a row.
        residual_nE: what the result is added to; only with gradients.
    """
    few, gates_Xn = few_tokens.pays(block, x_nE, sizes.dense_work), gates(block, x_nE)
    if few and block.unlimited:
        return iter([few_tokens.run(block, x_nE, few_tokens.two_best(gates_Xn))])
    n_queueing = 1 if block.unlimited else n_rows
    gates_XBT = gates_Xn.unflatten(1, (n_queueing, len(x_nE) // max(n_queueing, 1)))
    choice = choose(block, gates_XBT, n_positions or gates_XBT.shape[2])
    if few:
        kept_2n = (choice.gate * choice.kept).flatten(1)
        weight_Xn = few_tokens.of_choice(choice.expert.flatten(1), kept_2n, block.num_experts)
        return iter([few_tokens.run(block, x_nE, weight_Xn)])
    return run(block, x_nE, choice, sizes, residual_nE)


def _weighted_rows(rows_KE: Tensor, position_2n: Tensor, weight_2n: Tensor) -> Tensor:
    """out[i] = Σ_k weight[k, i] · rows[position[k, i]], [n, E]; weights of positions from K on are 0."""
    if len(rows_KE) == 0:
        return rows_KE.new_zeros(position_2n.shape[1], rows_KE.shape[1])
    position_n2, weight_n2 = position_2n.clamp(max=len(rows_KE) - 1).t(), weight_2n.t().contiguous()
    return functional.embedding_bag(
        position_n2.contiguous(), rows_KE, mode="sum", per_sample_weights=weight_n2
    )


def _expert_rows(x_nE: Tensor, w1: Tensor, w2: Tensor, routing: Routing) -> tuple[Tensor, list[Tensor]]:
    """What the experts make of their tokens, [K, E], and each expert's hidden activations."""
    y_KE = x_nE.new_empty(len(routing.token_K), x_nE.shape[1])
    hidden, start = [], 0
    for expert, count in enumerate(routing.counts):
        end = start + count
        h = product(x_nE.index_select(0, routing.token_K[start:end]), w1[expert]).relu_()
        product(h, w2[expert], out=y_KE[start:end])
        hidden.append(h)
        start = end
    return y_KE, hidden


class _RoutedExperts(torch.autograd.Function):
    """All parts of `size` tokens, plus the residual; with `own` the tokens themselves are it."""

    @staticmethod
    def forward(
        ctx: Any, x_nE: Tensor, residual_nE: Tensor | None, own: bool, gate_2n: Tensor,
        w1: Tensor, w2: Tensor, routings: tuple[Routing, ...], size: int,
    ) -> Tensor:  # fmt: skip
        y_nE, hidden = torch.empty_like(x_nE), []
        residual_nE = x_nE if own else residual_nE
        for i, routing in enumerate(routings):
            rows = slice(i * size, (i + 1) * size)
            y_KE, of_experts = _expert_rows(x_nE[rows], w1, w2, routing)
            mixed = _weighted_rows(y_KE, routing.position_2n, gate_2n[:, rows])
            if residual_nE is None:
                y_nE[rows] = mixed
            else:
                torch.add(residual_nE[rows], mixed, out=y_nE[rows])
            hidden += of_experts
        ctx.own, ctx.routings, ctx.size, ctx.has_residual = own, routings, size, residual_nE is not None
        ctx.save_for_backward(x_nE, gate_2n, w1, w2, *hidden)
        return y_nE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nE: Tensor) -> tuple[Tensor | None, ...]:
        x_nE, gate_2n, w1, w2, *hidden = ctx.saved_tensors
        grad_x_nE, grad_gate_2n = torch.empty_like(x_nE), torch.empty_like(gate_2n)
        grad_w1, grad_w2 = torch.zeros_like(w1), torch.zeros_like(w2)
        for i, routing in enumerate(ctx.routings):
            rows = slice(i * ctx.size, (i + 1) * ctx.size)
            grad, n_kept = grad_nE[rows], len(routing.token_K)
            position_2n, of_part = routing.position_2n, hidden[i * len(w1) : (i + 1) * len(w1)]
            grad_x_KE, grad_gate_K = _experts_backward(
                x_nE[rows], grad, gate_2n[:, rows], w1, w2, routing, of_part, grad_w1, grad_w2
            )
            kept_2n = (position_2n < n_kept).to(grad.dtype)
            grad_x = _weighted_rows(grad_x_KE, position_2n, kept_2n)
            if ctx.own:
                torch.add(grad, grad_x, out=grad_x_nE[rows])
            else:
                grad_x_nE[rows] = grad_x
            grad_gate_2n[:, rows] = grad_gate_K[position_2n]
        residual = grad_nE if ctx.has_residual and not ctx.own else None
        return grad_x_nE, residual, None, grad_gate_2n, grad_w1, grad_w2, None, None


def _experts_backward(
    x_nE: Tensor, grad_nE: Tensor, gate_2n: Tensor, w1: Tensor, w2: Tensor,
    routing: Routing, hidden: list[Tensor], grad_w1: Tensor, grad_w2: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of the experts' inputs, [K, E], and of all gates in sorted order; those of weights add up."""
    gate_K = gate_2n.new_empty(gate_2n.numel()).scatter_(0, routing.position_2n.view(-1), gate_2n.reshape(-1))
    grad_gate_K = torch.zeros_like(gate_K)
    grad_x_KE, start = x_nE.new_empty(len(routing.token_K), x_nE.shape[1]), 0
    for expert, count in enumerate(routing.counts):
        end = start + count
        token, h, gate = routing.token_K[start:end], hidden[expert], gate_K[start:end, None]
        grad_y = grad_nE.index_select(0, token)
        grad_h = product(grad_y, w2[expert].t())
        grad_gate_K[start:end] = torch.linalg.vecdot(grad_h, h)
        add_gradient(grad_w2[expert], h * gate, grad_y)
        grad_h = torch.ops.aten.threshold_backward(grad_h.mul_(gate), h, 0)
        add_gradient(grad_w1[expert], x_nE.index_select(0, token), grad_h)
        product(grad_h, w1[expert].t(), out=grad_x_KE[start:end])
        start = end
    return grad_x_KE, grad_gate_K
