"""Operators that are traced as a whole and written to ONNX as a few plain ones.

They keep the tracer from computing, in dozens of operators, sizes that ONNX's own operators know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.export.mixtures import write_mixture, write_small_mixture
from tsa_model.export.trees import translation
from tsa_model.network.trees import BoostedTrees


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
def placed(x_nE: Tensor, places_n2: Tensor, rest_11E: Tensor, mask_BT: Tensor) -> Tensor:
    """Vectors at their places and one more at all others, [B, T, E]."""
    y_BTE = rest_11E.expand(*mask_BT.shape, -1).clone()
    y_BTE[places_n2[:, 0], places_n2[:, 1]] = x_nE
    return y_BTE


@placed.register_fake
def _(x_nE: Tensor, places_n2: Tensor, rest_11E: Tensor, mask_BT: Tensor) -> Tensor:
    return x_nE.new_empty((*mask_BT.shape, rest_11E.shape[2]))


def _write_placed(x_nE: Any, places_n2: Any, rest_11E: Any, mask_BT: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    last = op.Constant(value_ints=[-1])
    y_BTE = op.Expand(rest_11E, op.Shape(op.Unsqueeze(mask_BT, last)))
    return op.ScatterND(y_BTE, places_n2, x_nE)


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


def translations(trees: BoostedTrees | None) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operator → how it is written to ONNX: our own, and those that the exporter would take apart first.

    Args:
        trees: of the network; their numbers become attributes of a node.
    """
    aten = torch.ops.aten
    of_trees = {} if trees is None else {torch.ops.tsa.tree_margin.default: translation(trees)}
    return of_trees | {
        torch.ops.tsa.add_mixture.default: write_mixture,
        torch.ops.tsa.add_small_mixture.default: write_small_mixture,
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
