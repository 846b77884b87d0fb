"""Self-attention, batch first: folded projections, the time factor once per forward, read-out of one token.

With one head, query and key projections only ever meet in their product, and value and output projections
too, so each pair is folded into one E × E matrix: two products per token instead of four. With more heads the
folding would cost more than it saves, except where a single token is read out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from tsa_model.network import blocks

TIME_SCALE_S = 1e6
FOLD_FROM_TOKENS_PER_WIDTH = 4
"""Fold when there are this many tokens per unit of width: folding itself costs as much as E tokens twice."""


@dataclass(frozen=True)
class Scaling:
    """What turns raw logits into the softmax's argument: logits · factor + bias, the same for all layers.

    Attributes:
        factor: exp((t_i - t_j) / 10^6), [B, T, T], or None without times.
        bias: additive mask, 0 or -inf (or the caller's floats), broadcastable to [B, T, T], or None.
    """

    factor: Tensor | None = None
    bias: Tensor | None = None

    @classmethod
    def build(
        cls,
        dtype: torch.dtype,
        time_BT1: Tensor | None = None,
        key_padding_mask_BT: Tensor | None = None,
        attn_mask_TT: Tensor | None = None,
    ) -> Scaling:
        """Combine times and masks; the factor multiplies masked logits too, as in TSA spec, section 5."""
        factor = None
        if time_BT1 is not None:
            factor = torch.exp((time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S)
        bias = None
        if attn_mask_TT is not None:
            bias = attn_mask_TT.to(dtype)
            if attn_mask_TT.dtype == torch.bool:
                bias = torch.zeros_like(bias).masked_fill(attn_mask_TT, float("-inf"))
            bias = bias[None] if factor is None else bias * factor
        if key_padding_mask_BT is not None:
            padding_B1T = torch.zeros_like(key_padding_mask_BT, dtype=dtype)
            padding_B1T = padding_B1T.masked_fill(key_padding_mask_BT, float("-inf"))[:, None]
            bias = padding_B1T if bias is None else bias + padding_B1T
        return cls(factor, bias)

    def last_query(self) -> Scaling:
        """The part that concerns the last token's query: [B, 1, T]."""
        factor = None if self.factor is None else self.factor[:, -1:]
        return Scaling(factor, None if self.bias is None else self.bias[:, -1:])

    def rows(self, start: int, end: int) -> Scaling:
        """The part of a slice of the batch."""
        factor = None if self.factor is None else self.factor[start:end]
        bias = self.bias if self.bias is None or len(self.bias) == 1 else self.bias[start:end]
        return Scaling(factor, bias)

    def weights(self, logits_BTT: Tensor) -> Tensor:
        """Attention weights of raw logits [B, T, T] or, with heads, [B, H, T, T]."""
        factor, bias = self.factor, self.bias
        if logits_BTT.dim() == 4:
            factor = None if factor is None else factor[:, None]
            bias = None if bias is None else bias[:, None]
        if factor is not None:
            logits_BTT = logits_BTT * factor if bias is None else torch.addcmul(bias, logits_BTT, factor)
        elif bias is not None:
            logits_BTT = logits_BTT + bias
        return torch.softmax(logits_BTT, dim=-1)


def attend(block: blocks.TemporalMultiheadAttention, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """Every token attends, [B, T, E] → [B, T, E]."""
    B, T, E = x_BTE.shape
    if block.num_heads == 1 and B * T >= FOLD_FROM_TOKENS_PER_WIDTH * E:
        return _attend_folded(block, x_BTE, scaling)
    H = block.num_heads
    qkv = functional.linear(x_BTE, block.in_proj_weight, block.in_proj_bias)
    q, k, v = (y.view(B, T, H, E // H).transpose(1, 2) for y in qkv.chunk(3, dim=-1))
    weights = scaling.weights((q * (E // H) ** -0.5) @ k.transpose(-2, -1))
    weights = functional.dropout(weights, block.dropout, block.training)
    return block.out_proj((weights @ v).transpose(1, 2).reshape(B, T, E))


def _attend_folded(block: blocks.TemporalMultiheadAttention, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    B, T, E = x_BTE.shape
    w_q, w_k, w_v = block.in_proj_weight.chunk(3)
    b_q, b_k, b_v = block.in_proj_bias.chunk(3)
    scale = E**-0.5
    query = functional.linear(x_BTE, (w_k.t() @ w_q) * scale, (b_q @ w_k) * scale)
    if scaling.factor is None:
        logits = query @ x_BTE.transpose(1, 2)  # b_k adds the same to every key of a query: softmax drops it
    else:
        key_bias_BT1 = functional.linear(x_BTE, ((b_k @ w_q) * scale)[None], (b_q @ b_k)[None] * scale)
        logits = torch.baddbmm(key_bias_BT1.expand(B, T, T), query, x_BTE.transpose(1, 2))
    weights = functional.dropout(scaling.weights(logits), block.dropout, block.training)
    w_o = block.out_proj.weight
    bias = block.out_proj.bias
    if block.training and block.dropout > 0:  # the weights of a query no longer sum to one
        y_BTE = functional.linear(weights @ x_BTE, w_o @ w_v, bias)
        return y_BTE + weights.sum(dim=-1, keepdim=True) * (w_o @ b_v)
    return functional.linear(weights @ x_BTE, w_o @ w_v, bias + w_o @ b_v)


def attend_last(block: blocks.TemporalMultiheadAttention, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """Only the last token attends, [B, T, E] → [B, E]: keys and values are never projected.

    Args:
        block: the attention's parameters.
        x_BTE: tokens.
        scaling: of the last query (`Scaling.last_query`).
    """
    B, T, E = x_BTE.shape
    H, d = block.num_heads, E // block.num_heads
    w_q, w_k, w_v = block.in_proj_weight.chunk(3)
    b_q, b_k, b_v = block.in_proj_bias.chunk(3)
    q_BHd = functional.linear(x_BTE[:, -1], w_q, b_q).view(B, H, d) * d**-0.5
    query_BHE = torch.einsum("bhd,hde->bhe", q_BHd, w_k.view(H, d, E))
    logits_BHT = query_BHE @ x_BTE.transpose(1, 2)
    if scaling.factor is not None:
        logits_BHT = logits_BHT + (q_BHd * b_k.view(H, d)).sum(-1, keepdim=True)
    weights_BHT = scaling.weights(logits_BHT)
    weights_BHT = functional.dropout(weights_BHT, block.dropout, block.training)
    mean_BHE = weights_BHT @ x_BTE
    y_BHd = torch.einsum("bhe,hde->bhd", mean_BHE, w_v.view(H, d, E))
    y_BHd = y_BHd + weights_BHT.sum(dim=-1, keepdim=True) * b_v.view(H, d)
    return block.out_proj(y_BHd.reshape(B, E))
