"""Operators that are traced as a whole and written to ONNX as a few plain ones.

They keep the tracer from computing, in dozens of operators, sizes that ONNX's own operators know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsa_model.export.mixtures import write_mixture, write_small_mixture
from tsa_model.export.trees import translation
from tsa_model.network.trees import BoostedTrees


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


@torch.library.custom_op("tsa::places", mutates_args=())
def places(mask_BT: Tensor) -> Tensor:
    """Row and position of every token that is no padding, int64 [N, 2], position after position.

    The last position is never padding, so the last B places are its.
    """
    return torch.nonzero(~mask_BT.t()).flip(1)


@places.register_fake
def _(mask_BT: Tensor) -> Tensor:
    N = torch.library.get_ctx().new_dynamic_size()
    return mask_BT.new_empty((N, 2), dtype=torch.int64)


def _write_places(mask_BT: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    position_and_row = op.NonZero(op.Not(op.Transpose(mask_BT, perm=[1, 0])))
    return op.Transpose(op.Gather(position_and_row, op.Constant(value_ints=[1, 0]), axis=0), perm=[1, 0])


@torch.library.custom_op("tsa::slots", mutates_args=())
def slots(mask_BT: Tensor, places_N2: Tensor) -> tuple[Tensor, Tensor]:
    """The place's number of every token, int64 [B, T], and of every row's last one, [B].

    Padding has its row's last token, so a row never meets the numbers of another.
    """
    N = len(places_N2)
    last_B = torch.arange(N - len(mask_BT), N)
    slot_BT = last_B[:, None].repeat(1, mask_BT.shape[1])
    slot_BT[places_N2[:, 0], places_N2[:, 1]] = torch.arange(N)
    return slot_BT, last_B


@slots.register_fake
def _(mask_BT: Tensor, places_N2: Tensor) -> tuple[Tensor, Tensor]:
    return places_N2.new_empty(mask_BT.shape), places_N2.new_empty(mask_BT.shape[0])


def _write_slots(mask_BT: Any, places_N2: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    first, one = op.Constant(value_int=0), op.Constant(value_int=1)
    numbers_N = op.Range(first, op.Squeeze(op.Shape(places_N2, start=0, end=1)), one)
    zero, end = op.Constant(value_ints=[0]), op.Constant(value_ints=[2**63 - 1])
    last_B = op.Slice(numbers_N, op.Sub(zero, op.Shape(mask_BT, start=0, end=1)), end, zero)
    last_BT = op.Expand(op.Unsqueeze(last_B, op.Constant(value_ints=[1])), op.Shape(mask_BT))
    return op.ScatterND(last_BT, places_N2, numbers_N), last_B


@torch.library.custom_op("tsa::but_last", mutates_args=())
def but_last(places_N2: Tensor, mask_BT: Tensor) -> Tensor:
    """All but the last B, [N - B, 2]: the places of orders."""
    return places_N2[: len(places_N2) - len(mask_BT)].clone()


@but_last.register_fake
def _(places_N2: Tensor, mask_BT: Tensor) -> Tensor:
    return places_N2.new_empty((places_N2.shape[0] - mask_BT.shape[0], 2))


def _write_but_last(places_N2: Any, mask_BT: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    zero = op.Constant(value_ints=[0])
    return op.Slice(places_N2, zero, op.Sub(zero, op.Shape(mask_BT, start=0, end=1)), zero)


@torch.library.custom_op("tsa::taken", mutates_args=())
def taken(x_BT: Tensor, places_N2: Tensor) -> Tensor:
    """What lies at some places, [B, T, ..] → [N, ..]."""
    return x_BT[places_N2[:, 0], places_N2[:, 1]]


@taken.register_fake
def _(x_BT: Tensor, places_N2: Tensor) -> Tensor:
    return x_BT.new_empty((places_N2.shape[0], *x_BT.shape[2:]))


def _write_taken(x_BT: Any, places_N2: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    return op.GatherND(x_BT, places_N2)


@torch.library.custom_op("tsa::followed", mutates_args=())
def followed(x_nE: Tensor, last_1E: Tensor, mask_BT: Tensor, places_N2: Tensor) -> Tensor:
    """Tokens, and behind them one more for every row, [N, E]."""
    return torch.cat([x_nE, last_1E.expand(len(mask_BT), -1)])


@followed.register_fake
def _(x_nE: Tensor, last_1E: Tensor, mask_BT: Tensor, places_N2: Tensor) -> Tensor:
    return x_nE.new_empty((places_N2.shape[0], x_nE.shape[1]))


def _write_followed(x_nE: Any, last_1E: Any, mask_BT: Any, places_N2: Any) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    rows = op.Concat(op.Shape(mask_BT, start=0, end=1), op.Constant(value_ints=[1]), axis=0)
    return op.Concat(x_nE, op.Expand(last_1E, rows), axis=0)


@torch.library.custom_op("tsa::by_head", mutates_args=())
def by_head(x_NE: Tensor, slot_BT: Tensor, heads: int) -> Tensor:
    """Each token's vector cut into heads, at its place: [B, heads, T, E / heads]."""
    cut = x_NE.reshape(-1, x_NE.shape[1] // heads)
    return cut[slot_BT[:, None] * heads + torch.arange(heads)[:, None]]


@by_head.register_fake
def _(x_NE: Tensor, slot_BT: Tensor, heads: int) -> Tensor:
    return x_NE.new_empty((slot_BT.shape[0], heads, slot_BT.shape[1], x_NE.shape[1] // heads))


def _write_by_head(x_NE: Any, slot_BT: Any, heads: int) -> Any:
    from onnxscript import opset20

    op: Any = opset20
    slot_B1T = op.Unsqueeze(slot_BT, op.Constant(value_ints=[1]))
    head_H1 = op.Reshape(op.Constant(value_ints=list(range(heads))), op.Constant(value_ints=[-1, 1]))
    cut_BHT = op.Add(op.Mul(slot_B1T, op.Constant(value_int=heads)), head_H1)
    return op.Gather(op.Reshape(x_NE, op.Constant(value_ints=[-1, x_NE.shape[1] // heads])), cut_BHT)


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
        torch.ops.tsa.reshaped.default: _write_reshaped,
        torch.ops.tsa.places.default: _write_places,
        torch.ops.tsa.slots.default: _write_slots,
        torch.ops.tsa.but_last.default: _write_but_last,
        torch.ops.tsa.taken.default: _write_taken,
        torch.ops.tsa.followed.default: _write_followed,
        torch.ops.tsa.by_head.default: _write_by_head,
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
