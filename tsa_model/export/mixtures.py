"""The mixture whose tokens all keep both experts, without a capacity limit (TSA spec, section 6).

A token's result does not depend on the others. How many tokens an expert computes depends on the data; a
tracer would see hundreds of operators with sizes it does not know, so a mixture is traced as one operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.network.blocks import MixtureOfExperts

SMALL = 1 << 16
"""Weights of all experts' first matrices up to which running all costs less than sorting the tokens."""


def experts(block: MixtureOfExperts) -> Experts | SmallExperts:
    """The form of a mixture that costs least."""
    return SmallExperts(block) if block.experts.w1.numel() <= SMALL else Experts(block)


class Experts(nn.Module):
    """The weights of a mixture, one tensor per expert; see `add_mixture`."""

    def __init__(self, block: MixtureOfExperts) -> None:
        super().__init__()
        self.w_gating = nn.Parameter(block.gate.w_gating.detach().clone())
        self.w1 = nn.ParameterList(w.detach().clone() for w in block.experts.w1)
        self.w2 = nn.ParameterList(w.detach().clone() for w in block.experts.w2)

    def forward(self, x_BTE: Tensor, residual_BTE: Tensor, real_BT: Tensor | None = None) -> Tensor:
        """Add the mixture of `x_BTE` to `residual_BTE`; tokens that are not real are left as they are."""
        return add_mixture(x_BTE, residual_BTE, real_BT, self.w_gating, list(self.w1), list(self.w2))


class SmallExperts(nn.Module):
    """The weights of a mixture, those of all experts in one tensor; see `add_small_mixture`."""

    spread: Tensor

    def __init__(self, block: MixtureOfExperts) -> None:
        super().__init__()
        X, _, h = block.experts.w1.shape
        self.w_gating = nn.Parameter(block.gate.w_gating.detach().clone())
        self.w1 = nn.Parameter(torch.cat(list(block.experts.w1.detach()), dim=1))
        self.w2 = nn.Parameter(block.experts.w2.detach().flatten(0, 1).clone())
        self.register_buffer("spread", torch.eye(X, dtype=self.w1.dtype).repeat_interleave(h, dim=1))

    def forward(self, x_BTE: Tensor, residual_BTE: Tensor, real_BT: Tensor | None = None) -> Tensor:
        """Add the mixture of `x_BTE` to `residual_BTE`; what tokens become that are not real is not read."""
        return add_small_mixture(x_BTE, residual_BTE, self.w_gating, self.w1, self.w2, self.spread)


@torch.library.custom_op("tsa::add_mixture", mutates_args=())
def add_mixture(
    x_BTE: Tensor,
    residual_BTE: Tensor,
    real_BT: Tensor | None,
    w_gating: Tensor,
    w1: Sequence[Tensor],
    w2: Sequence[Tensor],
) -> Tensor:
    """Residual + mixture(x), token by token.

    Args:
        x_BTE: tokens, in any number of dimensions.
        residual_BTE: the tensor that the mixture is added to.
        real_BT: bool; tokens that are not real reach no expert. None = all are.
        w_gating: [E, X].
        w1: X matrices [E, h].
        w2: X matrices [h, E].
    """
    x_NE, y_NE = x_BTE.flatten(0, -2), residual_BTE.flatten(0, -2).clone()
    gates_NX = torch.softmax(x_NE @ w_gating, dim=-1)
    best_N2, expert_N2 = gates_NX.topk(2, dim=-1)
    weight_N2 = best_N2 / (best_N2.sum(dim=-1, keepdim=True) + 1e-9)
    if real_BT is not None:
        expert_N2 = torch.where(real_BT.reshape(-1, 1), expert_N2, len(w1))
    for expert in range(len(w1)):
        token, choice = torch.where(expert_N2 == expert)
        out = torch.relu(x_NE[token] @ w1[expert]) @ w2[expert]
        y_NE = y_NE.index_add(0, token, out * weight_N2[token, choice].unsqueeze(-1))
    return y_NE.view(residual_BTE.shape)


@add_mixture.register_fake
def _(
    x_BTE: Tensor,
    residual_BTE: Tensor,
    real_BT: Tensor | None,
    w_gating: Tensor,
    w1: Sequence[Tensor],
    w2: Sequence[Tensor],
) -> Tensor:
    return torch.empty_like(residual_BTE)


@torch.library.custom_op("tsa::add_small_mixture", mutates_args=())
def add_small_mixture(
    x_BTE: Tensor, residual_BTE: Tensor, w_gating: Tensor, w1: Tensor, w2: Tensor, spread: Tensor
) -> Tensor:
    """`add_mixture` where an expert costs less than to sort the tokens: every expert runs on all of them.

    Args:
        x_BTE: tokens, in any number of dimensions.
        residual_BTE: the tensor that the mixture is added to.
        w_gating: [E, X].
        w1: the experts' first matrices side by side, [E, X·h].
        w2: their second ones one below the other, [X·h, E].
        spread: [X, X·h], 1 where a column belongs to an expert.
    """
    gates = torch.softmax(x_BTE @ w_gating, dim=-1)
    best, expert = gates.topk(2, dim=-1)
    weight = torch.zeros_like(gates).scatter(-1, expert, best / (best.sum(dim=-1, keepdim=True) + 1e-9))
    return residual_BTE + (torch.relu(x_BTE @ w1) * (weight @ spread)) @ w2


@add_small_mixture.register_fake
def _(
    x_BTE: Tensor, residual_BTE: Tensor, w_gating: Tensor, w1: Tensor, w2: Tensor, spread: Tensor
) -> Tensor:
    return torch.empty_like(residual_BTE)


def write_mixture(
    x_BTE: Any, residual_BTE: Any, real_BT: Any, w_gating: Any, w1: Sequence[Any], w2: Sequence[Any]
) -> Any:
    """All tokens are gathered once, expert after expert."""
    from onnxscript import opset20

    op: Any = opset20
    all_, last = op.Constant(value_ints=[-1]), op.Constant(value_ints=[1])
    x_NE = op.Flatten(x_BTE, axis=-1)
    gates_NX = op.Softmax(op.MatMul(x_NE, w_gating), axis=-1)
    best_N2, expert_N2 = op.TopK(gates_NX, op.Constant(value_ints=[2]), axis=-1)
    total_N1 = op.ReduceSum(best_N2, last, keepdims=1)
    weight_K1 = op.Reshape(
        op.Div(best_N2, op.Add(total_N1, op.Constant(value_float=1e-9))), op.Constant(value_ints=[-1, 1])
    )
    if real_BT is not None:
        real_N1 = op.Reshape(real_BT, op.Constant(value_ints=[-1, 1]))
        expert_N2 = op.Where(real_N1, expert_N2, op.Constant(value_int=len(w1)))
    # The two choices of all tokens in one row of 2·N; choice k belongs to token k // 2.
    experts_X1 = op.Reshape(op.Constant(value_ints=list(range(len(w1)))), op.Constant(value_ints=[-1, 1]))
    chose_XK = op.Equal(op.Reshape(expert_N2, op.Constant(value_ints=[1, -1])), experts_X1)
    counts_X = op.ReduceSum(op.Cast(chose_XK, to=7), last, keepdims=0)
    choice = op.Gather(op.NonZero(chose_XK), op.Constant(value_int=1), axis=0)
    token = op.Div(choice, op.Constant(value_int=2))
    # The number of outputs is for the tracer; ONNX allows it only without sizes (`graph.py` takes it away).
    parts = [
        op.Split(each, counts_X, axis=0, num_outputs=len(w1))
        for each in (op.Gather(x_NE, token), op.Gather(weight_K1, choice), op.Unsqueeze(token, all_))
    ]
    y_NE = op.Flatten(residual_BTE, axis=-1)
    # Expert by expert, because a token has each of them once: with several threads a runtime loses additions
    # to a place that comes twice.
    for expert, (part, weight, place) in enumerate(zip(*parts, strict=True)):
        out = op.Mul(op.Gemm(op.Relu(op.Gemm(part, w1[expert])), w2[expert]), weight)
        y_NE = op.ScatterND(y_NE, place, out, reduction="add")
    return op.Reshape(y_NE, op.Shape(residual_BTE))


def write_small_mixture(x_BTE: Any, residual_BTE: Any, w_gating: Any, w1: Any, w2: Any, spread: Any) -> Any:
    """What a token did not choose counts 0."""
    from onnxscript import opset20

    op: Any = opset20
    last = op.Constant(value_ints=[-1])
    gates = op.Softmax(op.MatMul(x_BTE, w_gating), axis=-1)
    best, expert = op.TopK(gates, op.Constant(value_ints=[2]), axis=-1)
    total = op.Add(op.ReduceSum(best, last, keepdims=1), op.Constant(value_float=1e-9))
    weight = op.ScatterElements(op.Sub(gates, gates), expert, op.Div(best, total), axis=-1)
    hidden = op.Mul(op.Relu(op.MatMul(x_BTE, w1)), op.MatMul(weight, spread))
    return op.Add(residual_BTE, op.MatMul(hidden, w2))
