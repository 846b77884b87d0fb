"""Feature aggregation from the tables themselves, one cache-sized piece at a time.

The encoder works along the feature axis, so orders and embedding coordinates together are the columns of one
matrix per layer, [F, orders·D]: each layer is a single matrix product. A row of ones at the end of every
activation carries the biases into that product. The first layer of the numerical side takes
value × embedding in at once (`_numerical_product`). Nothing but the inputs is kept for the backward
pass; activations are computed again there, piece by piece, because that is cheaper than the memory traffic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tsa_model.network.fast.autocast import lowered
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.fast.prepared import prepared
from tsa_model.network.parameters import AggregationParameters
from tsa_model.network.precision import computed_in

NEGATIVE_SLOPE = 0.01


def layer_matrices(encoder: nn.Sequential) -> list[Tensor]:
    """Each linear layer as [[weight, bias], [0, 1]], so that ones stay ones; the last as [weight, bias]."""
    linear = [layer for layer in encoder if isinstance(layer, nn.Linear)]
    matrices = [torch.cat([layer.weight, layer.bias[:, None]], dim=1) for layer in linear]
    ones = (functional.pad(m.new_ones(1, 1), (m.shape[1] - 1, 0)) for m in matrices[:-1])
    return [*(torch.cat(pair) for pair in zip(matrices[:-1], ones, strict=True)), matrices[-1]]


def _matrices(block: AggregationParameters) -> list[Tensor]:
    """`layer_matrices`, made once where no weight changes meanwhile."""
    linear = [layer for layer in block.encoder if isinstance(layer, nn.Linear)]
    weights = (*(layer.weight for layer in linear), *(layer.bias for layer in linear))
    return prepared(block, "matrices", weights, lambda: layer_matrices(block.encoder))


def aggregate_categorical(
    block: nn.Module,
    embedding: nn.Embedding,
    ids_nF: Tensor,
    sizes: PieceSizes,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Aggregate the embeddings of `ids_nF` [n, Fc] → [n, D]; row 0 of the table is not trained.

    With a `dtype`, all layers but the first one are computed in it, and so is the result.
    """
    if not isinstance(block, AggregationParameters):
        return computed_in(dtype, block, embedding(ids_nF).transpose(1, 2)).squeeze(-1)
    table, *matrices = lowered(embedding.weight, *_matrices(block))
    matrices[1:] = [m if dtype is None else m.to(dtype) for m in matrices[1:]]
    return _AggregateCategorical.apply(table, ids_nF, sizes, *matrices)


def aggregate_numerical(
    block: nn.Module, rows_FD: Tensor, x_nF: Tensor, sizes: PieceSizes, dtype: torch.dtype | None = None
) -> Tensor:
    """Aggregate value × embedding for `x_nF` [n, Fn] and the features' embeddings [Fn, D] → [n, D].

    With a `dtype`, all layers but the first one are computed in it, and so is the result.
    """
    if not isinstance(block, AggregationParameters):
        return computed_in(dtype, block, (rows_FD * x_nF[:, :, None]).transpose(1, 2)).squeeze(-1)
    rows_FD, x_nF = functional.pad(rows_FD, (0, 0, 0, 1), value=1.0), functional.pad(x_nF, (0, 1), value=1.0)
    rows_FD, x_nF, *matrices = lowered(rows_FD, x_nF, *_matrices(block))
    matrices[1:] = [m if dtype is None else m.to(dtype) for m in matrices[1:]]
    return _AggregateNumerical.apply(rows_FD, x_nF, sizes, *matrices)


def _forward_tail(h: Tensor, matrices: tuple[Tensor, ...]) -> list[Tensor]:
    """Run the remaining layers on `h` [F1 + 1, columns], the first layer's output before its nonlinearity."""
    activations = []
    for matrix in matrices:
        h = functional.leaky_relu_(h, NEGATIVE_SLOPE)
        activations.append(h)
        h = matrix @ h
    activations.append(h)
    return activations


def _backward_tail(
    grad: Tensor, activations: list[Tensor], matrices: tuple[Tensor, ...], grads: list[Tensor]
) -> Tensor:
    """Add the matrices' gradients to `grads`; return that of the first layer's output, [F1, columns]."""
    for i in reversed(range(len(matrices))):
        h = activations[i]
        grads[i][: len(grad)].addmm_(grad, h.t())
        grad = matrices[i][: len(grad), :-1].t() @ grad
        grad = torch.ops.aten.leaky_relu_backward(grad, h[:-1], NEGATIVE_SLOPE, True)
    return grad


def _embedded(table: Tensor, ids_nF: Tensor) -> Tensor:
    """Embeddings of some orders with the row of ones, [F + 1, n·D]."""
    n, F = ids_nF.shape
    x = table.new_empty(F + 1, n * table.shape[1])
    torch.index_select(table, 0, ids_nF.t().reshape(-1), out=x[:-1].view(-1, table.shape[1]))
    x[-1] = 1.0
    return x


class _AggregateCategorical(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids_nF: Tensor, sizes: PieceSizes, *matrices: Tensor) -> Tensor:
        n, F = ids_nF.shape
        D = table.shape[1]
        out_nD = matrices[-1].new_empty(n, D)
        step = sizes.aggregated_orders(F, D)
        for start in range(0, n, step):
            h = (matrices[0] @ _embedded(table, ids_nF[start : start + step])).to(out_nD.dtype)
            out_nD[start : start + step] = _forward_tail(h, matrices[1:])[-1].view(-1, D)
        ctx.sizes = sizes
        ctx.save_for_backward(table, ids_nF, *matrices)
        return out_nD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nD: Tensor) -> tuple[Tensor | None, ...]:
        table, ids_nF, *saved = ctx.saved_tensors
        matrices = tuple(saved)
        n, F = ids_nF.shape
        D = table.shape[1]
        grad_table = torch.zeros_like(table)
        grads = [torch.zeros_like(m) for m in matrices]
        step = ctx.sizes.aggregated_orders(F, D)
        for start in range(0, n, step):
            ids = ids_nF[start : start + step]
            x = _embedded(table, ids)
            activations = _forward_tail((matrices[0] @ x).to(grad_nD.dtype), matrices[1:])
            grad = grad_nD[start : start + step].reshape(1, -1)
            grad = _backward_tail(grad, activations, matrices[1:], grads[1:]).to(x.dtype)
            grads[0][:-1].addmm_(grad, x.t())
            grad_x = (matrices[0][:-1, :-1].t() @ grad).view(-1, D)
            grad_table.index_add_(0, ids.t().reshape(-1), grad_x)
        grad_table[0] = 0.0
        return grad_table, None, None, *grads


def _numerical_product(matrix: Tensor, rows_FD: Tensor) -> Tensor:
    """First layer and embedding in one, [(F1 + 1)·D, Fn + 1]: matrix[f, j]·rows[j, d] at ((f, d), j)."""
    return (matrix[:, None, :] * rows_FD.t()[None]).reshape(-1, matrix.shape[1])


class _AggregateNumerical(torch.autograd.Function):
    """`rows_FD` and `x_nF` end in ones, [Fn + 1, D] and [n, Fn + 1]."""

    @staticmethod
    def forward(ctx: Any, rows_FD: Tensor, x_nF: Tensor, sizes: PieceSizes, *matrices: Tensor) -> Tensor:
        n, D = len(x_nF), rows_FD.shape[1]
        product = _numerical_product(matrices[0], rows_FD)
        out_nD = matrices[-1].new_empty(n, D)
        step = sizes.aggregated_orders(len(matrices[0]), D)
        for start in range(0, n, step):
            h = (product @ x_nF[start : start + step].t()).view(len(matrices[0]), -1).to(out_nD.dtype)
            out_nD[start : start + step] = _forward_tail(h, matrices[1:])[-1].view(D, -1).t()
        ctx.sizes = sizes
        ctx.save_for_backward(rows_FD, x_nF, *matrices)
        return out_nD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nD: Tensor) -> tuple[Tensor | None, ...]:
        rows_FD, x_nF, *saved = ctx.saved_tensors
        matrices = tuple(saved)
        n, D, n_rows = len(x_nF), rows_FD.shape[1], len(matrices[0])
        product = _numerical_product(matrices[0], rows_FD)
        grad_product = torch.zeros_like(product)
        grads = [torch.zeros_like(m) for m in matrices]
        grad_x_nF = torch.empty_like(x_nF) if ctx.needs_input_grad[1] else None
        step = ctx.sizes.aggregated_orders(n_rows, D)
        first = slice(0, (n_rows - 1) * D)
        for start in range(0, n, step):
            x = x_nF[start : start + step]
            h = (product @ x.t()).view(n_rows, -1).to(grad_nD.dtype)
            activations = _forward_tail(h, matrices[1:])
            grad = grad_nD[start : start + step].t().reshape(1, -1)
            grad = _backward_tail(grad, activations, matrices[1:], grads[1:])
            grad = grad.reshape(-1, len(x)).to(x.dtype)
            grad_product[first].addmm_(grad, x)
            if grad_x_nF is not None:
                grad_x_nF[start : start + step] = grad.t() @ product[first]
        grad_product = grad_product.view(n_rows, D, -1)
        grads[0] = torch.einsum("fdj,jd->fj", grad_product, rows_FD)
        grad_rows_FD = torch.einsum("fdj,fj->jd", grad_product, matrices[0])
        return grad_rows_FD, grad_x_nF, None, *grads
