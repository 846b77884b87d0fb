"""One head's attention with folded projections, forward and backward written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

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


def folded_attention(x_BTE: Tensor, scaling: Scaling, dropout: float, *folded: Tensor) -> Tensor:
    """[B, T, E] → [B, T, E], with a rate of dropout and the projections of `attention._Folded`."""
    return _FoldedAttention.apply(x_BTE, scaling, dropout, *folded)


class _FoldedAttention(torch.autograd.Function):
    """Written out so that the five gradients of x add up inside the matrix products that make them."""

    @staticmethod
    def forward(
        ctx: Any, x_BTE: Tensor, scaling: Scaling, dropout: float, w_query: Tensor, b_query: Tensor,
        w_key_bias: Tensor, b_key_bias: Tensor, w_output: Tensor, b_output: Tensor, b_value: Tensor,
    ) -> Tensor:  # fmt: skip
        query_BTE = functional.linear(x_BTE, w_query, b_query)
        weights_BTT = scaling.weights(folded_logits(query_BTE, x_BTE, scaling, w_key_bias, b_key_bias))
        weights_BTT = weights_BTT.to(x_BTE.dtype)
        dropped_BTT, kept_BTT = weights_BTT, None
        if dropout > 0:
            dropped_BTT, kept_BTT = torch.native_dropout(weights_BTT, dropout, True)
        mean_BTE = torch.bmm(dropped_BTT, x_BTE)
        if dropout > 0:
            y_BTE = functional.linear(mean_BTE, w_output, b_output)
            y_BTE += dropped_BTT.sum(dim=-1, keepdim=True) * b_value
        else:
            y_BTE = functional.linear(mean_BTE, w_output, b_output + b_value)
        ctx.scaling, ctx.dropout = scaling, dropout
        ctx.save_for_backward(
            x_BTE, query_BTE, weights_BTT, dropped_BTT, kept_BTT, mean_BTE,
            w_query, w_key_bias, w_output, b_value,
        )  # fmt: skip
        return y_BTE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTE: Tensor) -> tuple[Tensor | None, ...]:
        (x_BTE, query_BTE, weights_BTT, dropped_BTT, kept_BTT, mean_BTE,
         w_query, w_key_bias, w_output, b_value) = ctx.saved_tensors  # fmt: skip
        E = x_BTE.shape[2]
        x_nE, grad_nE = x_BTE.reshape(-1, E), grad_BTE.reshape(-1, E)
        grad_w_output = grad_nE.t() @ mean_BTE.view(-1, E)
        grad_b_output = grad_nE.sum(dim=0)
        grad_mean_BTE = (grad_nE @ w_output).view_as(x_BTE)
        grad_weights = torch.bmm(grad_mean_BTE, x_BTE.transpose(1, 2))
        grad_b_value = grad_b_output
        if kept_BTT is not None:
            grad_b_value = dropped_BTT.sum(dim=-1).reshape(-1) @ grad_nE
            grad_weights += (grad_BTE @ b_value)[..., None]
            grad_weights = torch.ops.aten.native_dropout_backward(
                grad_weights, kept_BTT, 1.0 / (1.0 - ctx.dropout)
            )
        grad_logits = torch.ops.aten._softmax_backward_data(grad_weights, weights_BTT, -1, weights_BTT.dtype)
        if ctx.scaling.factor is not None:
            grad_logits = (grad_logits * ctx.scaling.factor).to(x_BTE.dtype)
        grad_query_BTE = torch.bmm(grad_logits, x_BTE)
        grad_query_nE = grad_query_BTE.view(-1, E)
        grad_x_BTE = torch.bmm(dropped_BTT.transpose(1, 2), grad_mean_BTE)
        grad_x_BTE.baddbmm_(grad_logits.transpose(1, 2), query_BTE)
        grad_x_nE = grad_x_BTE.view(-1, E).addmm_(grad_query_nE, w_query)
        grad_w_key_bias = grad_b_key_bias = None
        if ctx.scaling.factor is not None:
            grad_key_bias_n = grad_logits.sum(dim=-1).view(-1)
            grad_x_nE.addr_(grad_key_bias_n, w_key_bias)
            grad_w_key_bias = grad_key_bias_n @ x_nE
            grad_b_key_bias = grad_key_bias_n.sum()
        return (
            grad_x_nE.view_as(x_BTE), None, None,
            grad_query_nE.t() @ x_nE, grad_query_nE.sum(dim=0),
            grad_w_key_bias, grad_b_key_bias,
            grad_w_output, grad_b_output, grad_b_value,
        )  # fmt: skip
