"""Operators that are traced as a whole and written to ONNX as a few plain ones.

`add_mixture` is the mixture whose tokens all keep both experts, without a capacity limit (TSA spec,
section 6): a token's result does not depend on the others. How many tokens an expert computes depends on the
data; a tracer would see hundreds of operators with sizes it does not know. The others keep the tracer from
computing, in dozens of operators, sizes that ONNX's own operators know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@torch.library.custom_op("tsa::linear", mutates_args=())
def linear(x_BTE: Tensor, weight_EE: Tensor, bias_E: Tensor) -> Tensor:
    """Every token through a square matrix, [B, T, E] → [B, T, E]."""
    return functional.linear(x_BTE, weight_EE, bias_E)


@linear.register_fake
def _(x_BTE: Tensor, weight_EE: Tensor, bias_E: Tensor) -> Tensor:
    return torch.empty_like(x_BTE)


def _write_linear(x_BTE: Any, weight_EE: Any, bias_E: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    y_NE = op.Gemm(op.Flatten(x_BTE, axis=2), weight_EE, bias_E, transB=1)
    return op.Reshape(y_NE, op.Shape(x_BTE))


@torch.library.custom_op("tsa::reshaped", mutates_args=())
def reshaped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """A copy in another shape: 0 keeps the size that `x` has in this place, -1 takes what is left."""
    return x.reshape(_sizes(x, sizes)).clone()


def _sizes(x: Tensor, sizes: Sequence[int]) -> list[Any]:
    return [x.shape[place] if size == 0 else size for place, size in enumerate(sizes)]


@reshaped.register_fake
def _(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return x.new_empty(x.reshape(_sizes(x, sizes)).shape)


def _write_reshaped(x: Any, sizes: Sequence[int]) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    return op.Reshape(x, op.Constant(value_ints=list(sizes)))


@torch.library.custom_op("tsa::real_places", mutates_args=())
def real_places(mask_BT: Tensor) -> Tensor:
    """Row and position of every order that is no padding, int64 [n, 2]; the last column is no order's."""
    return torch.nonzero(~mask_BT[:, :-1])


@real_places.register_fake
def _(mask_BT: Tensor) -> Tensor:
    n = torch.library.get_ctx().new_dynamic_size()
    return mask_BT.new_empty((n, 2), dtype=torch.int64)


def _write_real_places(mask_BT: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    start, end, axis = (op.Constant(value_ints=[i]) for i in (0, -1, 1))
    return op.Transpose(op.NonZero(op.Not(op.Slice(mask_BT, start, end, axis))), perm=[1, 0])


@torch.library.custom_op("tsa::taken", mutates_args=())
def taken(x_BLF: Tensor, places_n2: Tensor) -> Tensor:
    """What lies at some places, [n, F]."""
    return x_BLF[places_n2[:, 0], places_n2[:, 1]]


@taken.register_fake
def _(x_BLF: Tensor, places_n2: Tensor) -> Tensor:
    return x_BLF.new_empty((places_n2.shape[0], x_BLF.shape[2]))


def _write_taken(x_BLF: Any, places_n2: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    return op.GatherND(x_BLF, places_n2)


@torch.library.custom_op("tsa::placed", mutates_args=())
def placed(x_nE: Tensor, places_n2: Tensor, like_BLF: Tensor, width: int) -> Tensor:
    """Vectors at their places, zeros elsewhere, [B, L, E]; batch and length are those of `like_BLF`."""
    y_BLE = x_nE.new_zeros(*like_BLF.shape[:2], width)
    y_BLE[places_n2[:, 0], places_n2[:, 1]] = x_nE
    return y_BLE


@placed.register_fake
def _(x_nE: Tensor, places_n2: Tensor, like_BLF: Tensor, width: int) -> Tensor:
    return x_nE.new_empty((like_BLF.shape[0], like_BLF.shape[1], width))


def _write_placed(x_nE: Any, places_n2: Any, like_BLF: Any, width: int) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    shape = op.Concat(op.Shape(like_BLF, start=0, end=2), op.Constant(value_ints=[width]), axis=0)
    return op.ScatterND(op.ConstantOfShape(shape), places_n2, x_nE, reduction="add")


@torch.library.custom_op("tsa::followed", mutates_args=())
def followed(x_BLE: Tensor, last_1E: Tensor) -> Tensor:
    """Every row with one more vector at its end, [B, L + 1, E]."""
    return torch.cat([x_BLE, last_1E.expand(len(x_BLE), 1, -1)], dim=1)


@followed.register_fake
def _(x_BLE: Tensor, last_1E: Tensor) -> Tensor:
    return x_BLE.new_empty((x_BLE.shape[0], x_BLE.shape[1] + 1, x_BLE.shape[2]))


def _write_followed(x_BLE: Any, last_1E: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    shape = op.Concat(op.Shape(x_BLE, start=0, end=1), op.Constant(value_ints=[1, 1]), axis=0)
    return op.Concat(x_BLE, op.Expand(last_1E, shape), axis=1)


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
        x_BTE: tokens.
        residual_BTE: the tensor that the mixture is added to.
        real_BT: bool; tokens that are not real reach no expert. None = all are.
        w_gating: [E, X].
        w1: X matrices [E, h].
        w2: X matrices [h, E].
    """
    x_NE, y_NE = x_BTE.flatten(0, 1), residual_BTE.flatten(0, 1).clone()
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


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operator → how it is written to ONNX: our own, and those that the exporter would take apart first."""
    aten = torch.ops.aten
    return {
        torch.ops.tsa.add_mixture.default: _write_mixture,
        torch.ops.tsa.linear.default: _write_linear,
        torch.ops.tsa.reshaped.default: _write_reshaped,
        torch.ops.tsa.real_places.default: _write_real_places,
        torch.ops.tsa.taken.default: _write_taken,
        torch.ops.tsa.placed.default: _write_placed,
        torch.ops.tsa.followed.default: _write_followed,
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
    x_BTE: Any, residual_BTE: Any, real_BT: Any, w_gating: Any, w1: Sequence[Any], w2: Sequence[Any]
) -> Any:
    """All tokens are gathered once, expert after expert."""
    from onnxscript import opset20

    op: Any = opset20
    all_, last = op.Constant(value_ints=[-1]), op.Constant(value_ints=[1])
    x_NE = op.Flatten(x_BTE, axis=2)
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
    y_NE = op.Flatten(residual_BTE, axis=2)
    # Expert by expert, because a token has each of them once: with several threads a runtime loses additions
    # to a place that comes twice.
    for expert, (part, weight, place) in enumerate(zip(*parts, strict=True)):
        out = op.Mul(op.Gemm(op.Relu(op.Gemm(part, w1[expert])), w2[expert]), weight)
        y_NE = op.ScatterND(y_NE, place, out, reduction="add")
    return op.Reshape(y_NE, op.Shape(residual_BTE))
