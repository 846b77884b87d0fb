"""One head's attention with folded projections, piece by piece, forward and backward written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tsa_model.network.fast.pieces import Shapes, spans
from tsa_model.network.fast.products import add_gradient, add_product, product

if TYPE_CHECKING:
    from tsa_model.network.fast.attention import Scaling


def folded_logits(
    query_BTE: Tensor, x_BTE: Tensor, scaling: Scaling, w_key_bias: Tensor, b_key_bias: Tensor
) -> Tensor:
    """Raw logits [B, T, T] of folded queries, key bias included where it matters."""
    if scaling.factor is None:  # the key bias adds the same to all logits of a query: softmax drops it
        return torch.bmm(query_BTE, x_BTE.transpose(1, 2))
    B, T, _ = x_BTE.shape
    key_bias_BT1 = functional.linear(x_BTE, w_key_bias[None], b_key_bias[None])
    return torch.baddbmm(key_bias_BT1.expand(B, T, T), query_BTE, x_BTE.transpose(1, 2))


def folded_attention(
    x_nE: Tensor,
    residual_nE: Tensor | None,
    shapes: Shapes,
    scalings: Sequence[Scaling],
    dropout: float,
    folded: Sequence[Tensor],
) -> Tensor:
    """Attention of all pieces, [n, E], plus the residual where there is one.

    Args:
        x_nE: tokens, piece after piece.
        residual_nE: what the result is added to; may be `x_nE` itself.
        shapes: rows and tokens per row of every piece.
        scalings: of every piece.
        dropout: rate on the attention weights.
        folded: the projections of `attention._Folded`.
    """
    own = residual_nE is x_nE
    return _FoldedAttention.apply(
        x_nE, None if own else residual_nE, own, shapes, tuple(scalings), dropout, *folded
    )


def _of_logits(
    grad_weights: Tensor, weights_BTT: Tensor, kept_BTT: Tensor | None, dropout: float, scaling: Scaling
) -> Tensor:
    """The raw logits' gradient, from that of the weights that were left by dropout."""
    if kept_BTT is not None:
        grad_weights = torch.ops.aten.native_dropout_backward(grad_weights, kept_BTT, 1.0 / (1.0 - dropout))
    grad_logits = torch.ops.aten._softmax_backward_data(grad_weights, weights_BTT, -1, weights_BTT.dtype)
    if scaling.factor is not None:
        grad_logits = (grad_logits * scaling.factor).to(weights_BTT.dtype)
    return grad_logits


class _FoldedAttention(torch.autograd.Function):
    """Written out so that the gradients of x add up inside the matrix products that make them.

    With `own` the tokens themselves are the residual.
    """

    @staticmethod
    def forward(
        ctx: Any, x_nE: Tensor, residual_nE: Tensor | None, own: bool, shapes: Shapes,
        scalings: tuple[Scaling, ...], dropout: float, w_query: Tensor, b_query: Tensor,
        w_key_bias: Tensor, b_key_bias: Tensor, w_output: Tensor, b_output: Tensor, b_value: Tensor,
    ) -> Tensor:  # fmt: skip
        E = x_nE.shape[1]
        residual_nE = x_nE if own else residual_nE
        # Weights that are not dropped add up to one, and the value bias to a constant.
        b_constant = b_output if dropout > 0 else b_output + b_value
        y_nE = b_constant.expand_as(x_nE).clone() if residual_nE is None else residual_nE + b_constant
        query_nE, mean_nE = product(x_nE, w_query.t(), b_query), torch.empty_like(x_nE)
        kept = []
        for (start, end, b, T), scaling in zip(spans(shapes), scalings, strict=True):
            x_BTE = x_nE[start:end].view(b, T, E)
            query = query_nE[start:end]
            weights_BTT = scaling.weights(
                folded_logits(query.view(b, T, E), x_BTE, scaling, w_key_bias, b_key_bias)
            ).to(x_nE.dtype)
            dropped_BTT, kept_BTT = weights_BTT, None
            if dropout > 0:
                dropped_BTT, kept_BTT = torch.native_dropout(weights_BTT, dropout, True)
                y_nE[start:end].addr_(dropped_BTT.sum(dim=-1).view(-1), b_value)
            mean = mean_nE[start:end]
            torch.bmm(dropped_BTT, x_BTE, out=mean.view(b, T, E))
            kept += [weights_BTT, dropped_BTT, kept_BTT]
        add_product(y_nE, mean_nE, w_output.t())
        ctx.own, ctx.shapes, ctx.scalings, ctx.dropout = own, shapes, scalings, dropout
        ctx.has_residual = residual_nE is not None
        ctx.save_for_backward(x_nE, query_nE, mean_nE, w_query, w_key_bias, w_output, b_value, *kept)
        return y_nE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nE: Tensor) -> tuple[Tensor | None, ...]:
        x_nE, query_nE, mean_nE, w_query, w_key_bias, w_output, b_value, *kept = ctx.saved_tensors
        E = x_nE.shape[1]
        grad_nE = grad_nE.contiguous()
        grad_x_nE = grad_nE.clone() if ctx.own else torch.zeros_like(x_nE)
        grad_w_query, grad_w_output = torch.zeros_like(w_query), torch.zeros_like(w_output)
        grad_b_query, grad_w_key_bias = w_query.new_zeros(len(w_query)), torch.zeros_like(w_key_bias)
        grad_b_key_bias = w_key_bias.new_zeros(())
        grad_b_output = grad_nE.sum(dim=0)
        add_gradient(grad_w_output, grad_nE, mean_nE)
        grad_b_value = torch.zeros_like(b_value) if ctx.dropout > 0 else grad_b_output
        for i, ((start, end, b, T), scaling) in enumerate(zip(spans(ctx.shapes), ctx.scalings, strict=True)):
            weights_BTT, dropped_BTT, kept_BTT = kept[3 * i : 3 * i + 3]
            x, grad = x_nE[start:end], grad_nE[start:end]
            x_BTE, query_BTE = x.view(b, T, E), query_nE[start:end].view(b, T, E)
            grad_mean_BTE = product(grad, w_output).view(b, T, E)
            grad_weights = torch.bmm(grad_mean_BTE, x_BTE.transpose(1, 2))
            if kept_BTT is not None:
                grad_b_value.addmv_(grad.t(), dropped_BTT.sum(dim=-1).view(-1))
                grad_weights += (grad @ b_value).view(b, T, 1)
            grad_logits = _of_logits(grad_weights, weights_BTT, kept_BTT, ctx.dropout, scaling)
            grad_x = grad_x_nE[start:end]
            grad_x_BTE = grad_x.view(b, T, E)
            grad_x_BTE.baddbmm_(dropped_BTT.transpose(1, 2), grad_mean_BTE)
            grad_query = torch.bmm(grad_logits, x_BTE, out=grad_mean_BTE).view(-1, E)
            grad_x_BTE.baddbmm_(grad_logits.transpose(1, 2), query_BTE)
            add_product(grad_x, grad_query, w_query)
            add_gradient(grad_w_query, grad_query, x)
            grad_b_query += grad_query.sum(dim=0)
            if scaling.factor is not None:
                grad_key_bias_n = grad_logits.sum(dim=-1).view(-1)
                grad_x.addr_(grad_key_bias_n, w_key_bias)
                grad_w_key_bias.addmv_(x.t(), grad_key_bias_n)
                grad_b_key_bias += grad_key_bias_n.sum()
        timed = any(scaling.factor is not None for scaling in ctx.scalings)
        return (
            grad_x_nE, grad_nE if ctx.has_residual and not ctx.own else None, None, None, None, None,
            grad_w_query, grad_b_query,
            grad_w_key_bias if timed else None, grad_b_key_bias if timed else None,
            grad_w_output, grad_b_output, grad_b_value,
        )  # fmt: skip
