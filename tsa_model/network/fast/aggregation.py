"""Feature aggregation from the tables themselves, one cache-sized piece at a time.

The encoder works along the feature axis, so orders and embedding coordinates together are the columns of one
matrix per layer, [F, orders·D]: each layer is a single matrix product. The first layer of the numerical side
takes value × embedding in at once (`_numerical_product`). Nothing but the inputs is kept for the backward
pass; activations are computed again there, piece by piece, because that is cheaper than the memory traffic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tsa_model.network import blocks
from tsa_model.network.fast.autocast import lowered
from tsa_model.network.precision import computed_in

NEGATIVE_SLOPE = 0.01
PIECE_ELEMENTS = 1 << 19
"""Elements of the widest activation of one piece; 2 MiB in float32, a core's second-level cache."""


def encoder_parameters(encoder: nn.Sequential) -> list[Tensor]:
    """Weights and biases of the encoder's linear layers, in order."""
    return [p for layer in encoder if isinstance(layer, nn.Linear) for p in (layer.weight, layer.bias)]


def aggregate_categorical(
    block: nn.Module, embedding: nn.Embedding, ids_nF: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """Aggregate the embeddings of `ids_nF` [n, Fc] → [n, D]; row 0 of the table is not trained.

    With a `dtype`, all layers but the first one are computed in it, and so is the result.
    """
    if not isinstance(block, blocks.FeatureAggregation):
        return computed_in(dtype, block, embedding(ids_nF).transpose(1, 2)).squeeze(-1)
    table, *parameters = lowered(embedding.weight, *encoder_parameters(block.encoder))
    parameters[1:] = [p if dtype is None else p.to(dtype) for p in parameters[1:]]
    return _AggregateCategorical.apply(table, ids_nF, *parameters)


def aggregate_numerical(
    block: nn.Module, rows_FD: Tensor, x_nF: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """Aggregate value × embedding for `x_nF` [n, Fn] and the features' embeddings [Fn, D] → [n, D].

    With a `dtype`, all layers but the first one are computed in it, and so is the result.
    """
    if not isinstance(block, blocks.FeatureAggregation):
        return computed_in(dtype, block, (rows_FD * x_nF[:, :, None]).transpose(1, 2)).squeeze(-1)
    rows_FD, x_nF, *parameters = lowered(rows_FD, x_nF, *encoder_parameters(block.encoder))
    parameters[1:] = [p if dtype is None else p.to(dtype) for p in parameters[1:]]
    return _AggregateNumerical.apply(rows_FD, x_nF, *parameters)


def _piece_length(n_features: int, dim: int) -> int:
    return max(1, PIECE_ELEMENTS // (n_features * dim))


def _forward_tail(h: Tensor, parameters: tuple[Tensor, ...]) -> list[Tensor]:
    """Run the remaining layers on `h` [F1, columns], the first layer's output before its nonlinearity."""
    activations = []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        h = functional.leaky_relu_(h, NEGATIVE_SLOPE)
        activations.append(h)
        h = torch.addmm(bias[:, None], weight, h)
    activations.append(h)
    return activations


def _backward_tail(
    grad: Tensor, activations: list[Tensor], parameters: tuple[Tensor, ...], grads: list[Tensor]
) -> Tensor:
    """Add the parameters' gradients to `grads` and return the gradient before the first nonlinearity."""
    for i in reversed(range(len(parameters) // 2)):
        weight, h = parameters[2 * i], activations[i]
        grads[2 * i].addmm_(grad, h.t())
        grads[2 * i + 1].add_(grad.sum(dim=1))
        grad = torch.ops.aten.leaky_relu_backward(weight.t() @ grad, h, NEGATIVE_SLOPE, True)
    return grad


class _AggregateCategorical(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids_nF: Tensor, *parameters: Tensor) -> Tensor:
        n, F = ids_nF.shape
        D = table.shape[1]
        out_nD = parameters[-1].new_empty(n, D)
        step = _piece_length(F, D)
        for start in range(0, n, step):
            ids = ids_nF[start : start + step]
            x = table.index_select(0, ids.t().reshape(-1)).view(F, -1)
            h = _first_layer(parameters[0], x, parameters[1])
            out_nD[start : start + step] = _forward_tail(h, parameters[2:])[-1].view(-1, D)
        ctx.save_for_backward(table, ids_nF, *parameters)
        return out_nD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nD: Tensor) -> tuple[Tensor | None, ...]:
        table, ids_nF, *saved = ctx.saved_tensors
        parameters = tuple(saved)
        n, F = ids_nF.shape
        D = table.shape[1]
        grad_table = torch.zeros_like(table)
        grads = [torch.zeros_like(p) for p in parameters]
        step = _piece_length(F, D)
        for start in range(0, n, step):
            ids = ids_nF[start : start + step].t().reshape(-1)
            x = table.index_select(0, ids).view(F, -1)
            activations = _forward_tail(_first_layer(parameters[0], x, parameters[1]), parameters[2:])
            grad = grad_nD[start : start + step].reshape(1, -1)
            grad = _backward_tail(grad, activations, parameters[2:], grads[2:])
            grads[1].add_(grad.sum(dim=1))
            grad = grad.to(x.dtype)
            grads[0].addmm_(grad, x.t())
            grad_x = (parameters[0].t() @ grad).view(-1, D)
            grad_table += torch.ops.aten.embedding_dense_backward(grad_x, ids, len(table), 0, False)
        return grad_table, None, *grads


def _numerical_product(weight: Tensor, rows_FD: Tensor) -> Tensor:
    """First layer and embedding as one matrix, [F1·D, Fn]: entry ((f, d), j) is weight[f, j]·rows[j, d]."""
    return (weight[:, None, :] * rows_FD.t()[None]).reshape(-1, weight.shape[1])


class _AggregateNumerical(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_FD: Tensor, x_nF: Tensor, *parameters: Tensor) -> Tensor:
        n, D = len(x_nF), rows_FD.shape[1]
        product = _numerical_product(parameters[0], rows_FD)
        out_nD = parameters[-1].new_empty(n, D)
        step = _piece_length(len(parameters[0]), D)
        for start in range(0, n, step):
            x = x_nF[start : start + step]
            h = _first_layer(product, x.t(), parameters[1])
            out_nD[start : start + step] = _forward_tail(h, parameters[2:])[-1].view(D, -1).t()
        ctx.save_for_backward(rows_FD, x_nF, *parameters)
        return out_nD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nD: Tensor) -> tuple[Tensor | None, ...]:
        rows_FD, x_nF, *saved = ctx.saved_tensors
        parameters = tuple(saved)
        weight = parameters[0]
        n, D = len(x_nF), rows_FD.shape[1]
        product = _numerical_product(weight, rows_FD)
        grad_product = torch.zeros_like(product)
        grads = [torch.zeros_like(p) for p in parameters]
        grad_x_nF = torch.empty_like(x_nF) if ctx.needs_input_grad[1] else None
        step = _piece_length(len(weight), D)
        for start in range(0, n, step):
            x = x_nF[start : start + step]
            activations = _forward_tail(_first_layer(product, x.t(), parameters[1]), parameters[2:])
            grad = grad_nD[start : start + step].t().reshape(1, -1)
            grad = _backward_tail(grad, activations, parameters[2:], grads[2:])
            grads[1].add_(grad.sum(dim=1))
            grad = grad.reshape(-1, len(x)).to(x.dtype)
            grad_product.addmm_(grad, x)
            if grad_x_nF is not None:
                grad_x_nF[start : start + step] = grad.t() @ product
        grad_product = grad_product.view(len(weight), D, -1)
        grads[0] = torch.einsum("fdj,jd->fj", grad_product, rows_FD)
        grad_rows_FD = torch.einsum("fdj,fj->jd", grad_product, weight)
        return grad_rows_FD, grad_x_nF, *grads


def _first_layer(weight: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """Return weight @ x + bias as [F1, columns], in the dtype of `bias`: that of all layers after it."""
    return (weight @ x).view(len(bias), -1).to(bias.dtype).add_(bias[:, None])
