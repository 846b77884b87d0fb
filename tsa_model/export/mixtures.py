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

TINY = 1e-9
"""Added to the sum of a token's two gates (TSA spec, section 6)."""
MANY = 64
"""Experts up to which `TINY` is lost in float32."""
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

    def forward(self, x_NE: Tensor, residual_NE: Tensor) -> Tensor:
        """Add the mixture of `x_NE` to `residual_NE`."""
        return add_mixture(x_NE, residual_NE, self.w_gating, list(self.w1), list(self.w2))


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

    def forward(self, x_NE: Tensor, residual_NE: Tensor) -> Tensor:
        """Add the mixture of `x_NE` to `residual_NE`."""
        return add_small_mixture(x_NE, residual_NE, self.w_gating, self.w1, self.w2, self.spread)


@torch.library.custom_op("tsa::add_mixture", mutates_args=())
def add_mixture(
    x_NE: Tensor, residual_NE: Tensor, w_gating: Tensor, w1: Sequence[Tensor], w2: Sequence[Tensor]
) -> Tensor:
    """Residual + mixture(x), token by token.

    Args:
        x_NE: tokens.
        residual_NE: the tensor that the mixture is added to.
        w_gating: [E, X].
        w1: X matrices [E, h].
        w2: X matrices [h, E].
    """
    weight_N2, expert_N2 = _two_best(x_NE, w_gating)
    y_NE = residual_NE.clone()
    for expert in range(len(w1)):
        token, choice = torch.where(expert_N2 == expert)
        hidden = torch.relu(x_NE[token] @ w1[expert]) * weight_N2[token, choice].unsqueeze(-1)
        y_NE = y_NE.index_add(0, token, hidden @ w2[expert])
    return y_NE


def _two_best(x_NE: Tensor, w_gating: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of a token's two experts, and which they are, [N, 2] each."""
    gates_NX = torch.softmax(x_NE @ w_gating, dim=-1)
    best_N2, expert_N2 = gates_NX.topk(2, dim=-1)
    return best_N2 / (best_N2.sum(dim=-1, keepdim=True) + TINY), expert_N2


@add_mixture.register_fake
def _(
    x_NE: Tensor, residual_NE: Tensor, w_gating: Tensor, w1: Sequence[Tensor], w2: Sequence[Tensor]
) -> Tensor:
    return torch.empty_like(residual_NE)


@torch.library.custom_op("tsa::add_small_mixture", mutates_args=())
def add_small_mixture(
    x_NE: Tensor, residual_NE: Tensor, w_gating: Tensor, w1: Tensor, w2: Tensor, spread: Tensor
) -> Tensor:
    """`add_mixture` where an expert costs less than to sort the tokens: every expert runs on all of them.

    Args:
        x_NE: tokens.
        residual_NE: the tensor that the mixture is added to.
        w_gating: [E, X].
        w1: the experts' first matrices side by side, [E, X·h].
        w2: their second ones one below the other, [X·h, E].
        spread: [X, X·h], 1 where a column belongs to an expert.
    """
    share_N2, expert_N2 = _two_best(x_NE, w_gating)
    weight_NX = x_NE.new_zeros(len(x_NE), w_gating.shape[1]).scatter(-1, expert_N2, share_N2)
    return residual_NE + (torch.relu(x_NE @ w1) * (weight_NX @ spread)) @ w2


@add_small_mixture.register_fake
def _(x_NE: Tensor, residual_NE: Tensor, w_gating: Tensor, w1: Tensor, w2: Tensor, spread: Tensor) -> Tensor:
    return torch.empty_like(residual_NE)


def _write_two_best(op: Any, logits_NX: Any, n_experts: int) -> tuple[Any, Any]:
    """Shares of a token's two experts, and which they are.

    The gates' own softmax divides both by the same sum, which their share does not depend on. Two gates of X
    add up to 2 / X at least; up to `MANY` experts `TINY` is less than half a unit in the last place of that.
    """
    best_N2, expert_N2 = op.TopK(logits_NX, op.Constant(value_ints=[2]), axis=-1)
    if n_experts <= MANY:
        return op.Softmax(best_N2, axis=-1), expert_N2
    best_N2 = op.GatherElements(op.Softmax(logits_NX, axis=-1), expert_N2, axis=-1)
    total_N1 = op.ReduceSum(best_N2, op.Constant(value_ints=[1]), keepdims=1)
    return op.Div(best_N2, op.Add(total_N1, op.Constant(value_float=TINY))), expert_N2


def write_mixture(x_NE: Any, residual_NE: Any, w_gating: Any, w1: Sequence[Any], w2: Sequence[Any]) -> Any:
    """Each expert gathers its tokens, and adds its results."""
    from onnxscript import opset20

    op: Any = opset20
    column = op.Constant(value_ints=[-1, 1])
    share_N2, expert_N2 = _write_two_best(op, op.MatMul(x_NE, w_gating), len(w1))
    # The two choices of all tokens in one row of 2·N; choice k belongs to token k // 2.
    experts_X1 = op.Reshape(op.Constant(value_ints=list(range(len(w1)))), column)
    chose_XK = op.Equal(op.Reshape(expert_N2, op.Constant(value_ints=[1, -1])), experts_X1)
    counts_X = op.ReduceSum(op.Cast(chose_XK, to=7), op.Constant(value_ints=[1]), keepdims=0)
    choice_K1 = op.Reshape(op.Gather(op.NonZero(chose_XK), op.Constant(value_int=1), axis=0), column)
    weight_K1 = op.GatherND(op.Reshape(share_N2, column), choice_K1)
    # The number of outputs is for the tracer; ONNX allows it only without sizes (`graph.py` takes it away).
    parts = [
        op.Split(each, counts_X, axis=0, num_outputs=len(w1))
        for each in (op.Div(choice_K1, op.Constant(value_int=2)), weight_K1)
    ]
    # Expert by expert, because a token has each of them once: with several threads a runtime loses additions
    # to a place that comes twice.
    y_NE = residual_NE
    for expert, (token, weight) in enumerate(zip(*parts, strict=True)):
        hidden = op.Mul(op.Relu(op.Gemm(op.GatherND(x_NE, token), w1[expert])), weight)
        y_NE = op.ScatterND(y_NE, token, op.Gemm(hidden, w2[expert]), reduction="add")
    return y_NE


def write_small_mixture(x_NE: Any, residual_NE: Any, w_gating: Any, w1: Any, w2: Any, spread: Any) -> Any:
    """What a token did not choose counts 0."""
    from onnxscript import opset20

    op: Any = opset20
    logits_NX = op.MatMul(x_NE, w_gating)
    share_N2, expert_N2 = _write_two_best(op, logits_NX, spread.shape[0])
    weight_NX = op.ScatterElements(op.Sub(logits_NX, logits_NX), expert_N2, share_N2, axis=-1)
    hidden = op.Mul(op.Relu(op.Gemm(x_NE, w1)), op.MatMul(weight_NX, spread))
    return op.Gemm(hidden, w2, residual_NE)
