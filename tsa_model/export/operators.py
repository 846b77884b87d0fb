"""The mixture of experts as one operator: traced as a whole, written to ONNX as a few plain operators.

It is the mixture whose tokens all keep both experts, without a capacity limit (TSA spec, section 6): a
token's result does not depend on the others. Each expert gathers the tokens that chose it, so how many rows
it computes depends on the data; a tracer would see hundreds of operators with sizes it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("tsa::add_mixture", mutates_args=())
def add_mixture(
    x_NE: Tensor,
    residual_NE: Tensor,
    real_N1: Tensor | None,
    w_gating: Tensor,
    w1: Sequence[Tensor],
    w2: Sequence[Tensor],
) -> Tensor:
    """Residual + mixture(x), token by token.

    Args:
        x_NE: tokens.
        residual_NE: the tensor that the mixture is added to.
        real_N1: bool; tokens that are not real reach no expert. None = all are.
        w_gating: [E, X].
        w1: X matrices [E, h].
        w2: X matrices [h, E].
    """
    gates_NX = torch.softmax(x_NE @ w_gating, dim=-1)
    best_N2, expert_N2 = gates_NX.topk(2, dim=-1)
    weight_N2 = best_N2 / (best_N2.sum(dim=-1, keepdim=True) + 1e-9)
    if real_N1 is not None:
        expert_N2 = torch.where(real_N1, expert_N2, len(w1))
    y_NE = residual_NE.clone()
    for expert in range(len(w1)):
        token, choice = torch.where(expert_N2 == expert)
        out = torch.relu(x_NE[token] @ w1[expert]) @ w2[expert]
        y_NE = y_NE.index_add(0, token, out * weight_N2[token, choice].unsqueeze(-1))
    return y_NE


@add_mixture.register_fake
def _(
    x_NE: Tensor,
    residual_NE: Tensor,
    real_N1: Tensor | None,
    w_gating: Tensor,
    w1: Sequence[Tensor],
    w2: Sequence[Tensor],
) -> Tensor:
    return torch.empty_like(residual_NE)


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operator → how it is written to ONNX: our own, and those that the exporter would take apart first."""
    aten = torch.ops.aten
    return {
        torch.ops.tsa.add_mixture.default: _write_mixture,
        aten.rsub.Scalar: _write_rsub,
        aten.one_hot.default: _write_one_hot,
    }


def _write_rsub(x: Any, minuend: float) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    return op.Sub(op.Constant(value_float=float(minuend)), x)


def _write_one_hot(x: Any, num_classes: int) -> Any:
    from onnx import TensorProto
    from onnxscript import opset20

    op: Any = opset20
    classes = op.Constant(value_ints=list(range(num_classes)))
    return op.Cast(op.Equal(op.Unsqueeze(x, op.Constant(value_ints=[-1])), classes), to=TensorProto.INT64)


def _write_mixture(
    x_NE: Any, residual_NE: Any, real_N1: Any, w_gating: Any, w1: Sequence[Any], w2: Sequence[Any]
) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    all_, last = op.Constant(value_ints=[-1]), op.Constant(value_ints=[1])
    gates_NX = op.Softmax(op.MatMul(x_NE, w_gating), axis=-1)
    best_N2, expert_N2 = op.TopK(gates_NX, op.Constant(value_ints=[2]), axis=-1)
    total_N1 = op.ReduceSum(best_N2, last, keepdims=1)
    weight_K = op.Reshape(op.Div(best_N2, op.Add(total_N1, op.Constant(value_float=1e-9))), all_)
    if real_N1 is not None:
        expert_N2 = op.Where(real_N1, expert_N2, op.Constant(value_int=len(w1)))
    # The two choices of all tokens in one row of 2·N; choice k belongs to token k // 2.
    expert_K = op.Reshape(expert_N2, all_)
    y_NE = residual_NE
    for expert in range(len(w1)):
        chose_K = op.Equal(expert_K, op.Constant(value_int=expert))
        choice = op.Reshape(op.NonZero(chose_K), all_)
        token = op.Div(choice, op.Constant(value_int=2))
        hidden = op.Relu(op.Gemm(op.Gather(x_NE, token), w1[expert]))
        weight = op.Unsqueeze(op.Gather(weight_K, choice), last)
        out = op.Mul(op.Gemm(hidden, w2[expert]), weight)
        y_NE = op.ScatterND(y_NE, op.Unsqueeze(token, last), out, reduction="add")
    return y_NE
