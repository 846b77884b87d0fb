"""Self-attention, batch first: folded projections, the time factor once per forward, read-out of one token.

With one head, query and key projections only ever meet in their product, and value and output projections
too, so each pair is folded into one E × E matrix: two products per token instead of four. With more heads the
folding would cost more than it saves, except where a single token is read out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.network.fast.autocast import lowered
from tsa_model.network.fast.folded import folded_attention, folded_logits
from tsa_model.network.fast.pieces import Shapes
from tsa_model.network.fast.prepared import is_plain, prepared
from tsa_model.network.fast.products import add_product, product
from tsa_model.network.parameters import AttentionParameters

TIME_SCALE_S = 1e6
FOLD_FROM_TOKENS_PER_WIDTH = 4
"""Fold from this many tokens per unit of width: the two folded products cost as much as 2·E tokens."""


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
        """Combine times and masks; the factor multiplies an additive mask too, as in TSA spec, section 5."""
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

    def of_last(self, n_positions: int) -> Scaling:
        """The part that concerns the last positions only, [B, n, n]."""
        return self.between(slice(-n_positions, None), slice(-n_positions, None))

    def last_query(self) -> Scaling:
        """The part that concerns the last token's query: [B, 1, T]."""
        return self.between(slice(-1, None), slice(None))

    def between(self, queries: slice, keys: slice) -> Scaling:
        """The part that concerns some queries and some keys."""
        factor, bias = self.factor, self.bias
        if factor is not None:
            factor = factor[:, queries, keys]
        if bias is not None:  # the same for all queries, unless there is an attention mask
            bias = bias[..., keys] if bias.shape[1] == 1 else bias[:, queries, keys]
        return Scaling(factor, bias)

    def weights(self, logits: Tensor) -> Tensor:
        """Attention weights of raw logits [B, T, T] or, with heads, [B, H, T, T]."""
        factor, bias = self.factor, self.bias
        if logits.dim() == 4:
            factor = None if factor is None else factor[:, None]
            bias = None if bias is None else bias[:, None]
        if factor is not None:
            logits = logits * factor if bias is None else torch.addcmul(bias, logits, factor)
        elif bias is not None:
            logits = logits + bias
        return torch.softmax(logits, dim=-1)


class Attend:
    """Every token attends: call it with [B, T, E] and its scaling, or with all pieces of a batch."""

    adds_in_place = False

    def __init__(self, block: AttentionParameters) -> None:
        self.block = block

    def __call__(self, x_BTE: Tensor, scaling: Scaling) -> Tensor:
        """[B, T, E] → [B, T, E]."""
        return _attend(self.block, x_BTE, scaling)

    def pieces(
        self, x_nE: Tensor, residual_nE: Tensor | None, shapes: Shapes, scalings: Sequence[Scaling]
    ) -> Tensor:
        """All pieces, [n, E] → [n, E], plus the residual where there is one."""
        tokens = x_nE.split([b * T for b, T in shapes])
        parts = [
            self(x.view(*shape, x.shape[1]), scaling).flatten(0, 1)
            for x, shape, scaling in zip(tokens, shapes, scalings, strict=True)
        ]
        return torch.cat(parts) if residual_nE is None else residual_nE + torch.cat(parts)

    def add_to(self, residual_BTE: Tensor, x_BTE: Tensor, scaling: Scaling) -> None:
        """Add the result to `residual_BTE`, which may be `x_BTE` itself; only where `adds_in_place`."""
        raise NotImplementedError


def attention_over(block: AttentionParameters, n_tokens: int) -> Attend:
    """How every token attends.

    Args:
        block: the attention's parameters.
        n_tokens: tokens it will be called for in all; many pay for folding projections, in evaluation all.
    """
    E = block.in_proj_weight.shape[1]
    pays = n_tokens >= FOLD_FROM_TOKENS_PER_WIDTH * E or is_plain(block.training, block.in_proj_weight.device)
    if block.num_heads > 1 or not pays:
        return Attend(block)
    return _FoldedAttend(block)


def _attend(block: AttentionParameters, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    B, T, E = x_BTE.shape
    H = block.num_heads
    qkv = functional.linear(x_BTE, block.in_proj_weight, block.in_proj_bias)
    q, k, v = (y.view(B, T, H, E // H).transpose(1, 2) for y in qkv.chunk(3, dim=-1))
    weights = scaling.weights((q * (E // H) ** -0.5) @ k.transpose(-2, -1))
    weights = functional.dropout(weights, block.dropout, block.training)
    return block.out_proj((weights @ v).transpose(1, 2).reshape(B, T, E))


def attend_last(block: AttentionParameters, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """Only the last token attends, [B, T, E] → [B, E]: keys and values are never projected.

    Args:
        block: the attention's parameters.
        x_BTE: tokens.
        scaling: of the last query (`Scaling.last_query`).
    """
    if block.num_heads == 1 and is_plain(block.training, x_BTE.device):
        return _attend_last_folded(_Folded.kept(block), x_BTE, scaling)
    weights_BHT = scaling.weights(last_logits(block, x_BTE, scaling))
    weights_BHT = functional.dropout(weights_BHT, block.dropout, block.training)
    return last_output(block, weights_BHT, x_BTE)


def last_logits(block: AttentionParameters, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    """Raw logits of the last token, [B, H, T]."""
    B, _, E = x_BTE.shape
    H, d = block.num_heads, E // block.num_heads
    w_q, w_k, _ = block.in_proj_weight.chunk(3)
    b_q, b_k, _ = block.in_proj_bias.chunk(3)
    q_BHd = functional.linear(x_BTE[:, -1], w_q, b_q).view(B, H, d) * d**-0.5
    query_BHE = torch.einsum("bhd,hde->bhe", q_BHd, w_k.view(H, d, E))
    logits_BHT = query_BHE @ x_BTE.transpose(1, 2)
    if scaling.factor is not None:
        logits_BHT = logits_BHT + (q_BHd * b_k.view(H, d)).sum(-1, keepdim=True)
    return logits_BHT


def last_output(block: AttentionParameters, weights_BHT: Tensor, x_BTE: Tensor) -> Tensor:
    """What the last token reads with its weights [B, H, T] of all tokens, [B, E]."""
    B, _, E = x_BTE.shape
    H, d = block.num_heads, E // block.num_heads
    w_v, b_v = block.in_proj_weight.chunk(3)[2], block.in_proj_bias.chunk(3)[2]
    mean_BHE = weights_BHT @ x_BTE
    y_BHd = torch.einsum("bhe,hde->bhd", mean_BHE, w_v.view(H, d, E))
    y_BHd = y_BHd + weights_BHT.sum(dim=-1, keepdim=True) * b_v.view(H, d)
    return block.out_proj(y_BHd.reshape(B, E))


def _attend_last_folded(folded: _Folded, x_BTE: Tensor, scaling: Scaling) -> Tensor:
    last_BE = x_BTE[:, -1]
    query_B1E = functional.linear(last_BE, folded.w_query, folded.b_query)[:, None]
    logits_B1T = torch.bmm(query_B1E, x_BTE.transpose(1, 2))
    if scaling.factor is not None:
        logits_B1T += (last_BE @ folded.w_key_bias + folded.b_key_bias)[:, None, None]
    mean_BE = torch.bmm(scaling.weights(logits_B1T), x_BTE)[:, 0]
    return functional.linear(mean_BE, folded.w_output, folded.b_output + folded.b_value)


class _Folded(NamedTuple):
    """One head's projections, folded: logits = x W_qk x' + r(x), output = weights x W_vo + constant.

    Attributes:
        w_query, b_query: x → the query that meets raw tokens, [E, E] and [E].
        w_key_bias, b_key_bias: x → what the key bias adds to all logits of a query, [E] and [].
        w_output, b_output: averaged token → output, [E, E] and [E].
        b_value: what the value bias adds per unit of attention weight, [E].
    """

    w_query: Tensor
    b_query: Tensor
    w_key_bias: Tensor
    b_key_bias: Tensor
    w_output: Tensor
    b_output: Tensor
    b_value: Tensor

    @classmethod
    def of(cls, block: AttentionParameters) -> _Folded:
        w_q, w_k, w_v = block.in_proj_weight.chunk(3)
        b_q, b_k, b_v = block.in_proj_bias.chunk(3)
        w_o = block.out_proj.weight
        scale = len(b_q) ** -0.5
        return cls(
            w_query=(w_k.t() @ w_q) * scale,
            b_query=(b_q @ w_k) * scale,
            w_key_bias=(b_k @ w_q) * scale,
            b_key_bias=(b_q @ b_k) * scale,
            w_output=w_o @ w_v,
            b_output=block.out_proj.bias,
            b_value=w_o @ b_v,
        )

    @classmethod
    def kept(cls, block: AttentionParameters) -> _Folded:
        """The same, made once where no weight changes meanwhile."""
        weights = (block.in_proj_weight, block.in_proj_bias, block.out_proj.weight, block.out_proj.bias)
        return prepared(block, "folded", weights, lambda: cls.of(block))


class _FoldedAttend(Attend):
    def __init__(self, block: AttentionParameters) -> None:
        super().__init__(block)
        self.folded = _Folded.kept(block)
        self.adds_in_place = is_plain(block.training, block.in_proj_weight.device)

    def __call__(self, x_BTE: Tensor, scaling: Scaling) -> Tensor:
        B, T, E = x_BTE.shape
        return self.pieces(x_BTE.reshape(B * T, E), None, ((B, T),), [scaling]).view(B, T, E)

    def pieces(
        self, x_nE: Tensor, residual_nE: Tensor | None, shapes: Shapes, scalings: Sequence[Scaling]
    ) -> Tensor:
        dropout = self.block.dropout if self.block.training else 0.0
        if not torch.is_autocast_enabled(x_nE.device.type):
            return folded_attention(x_nE, residual_nE, shapes, scalings, dropout, self.folded)
        x_nE, *parameters = lowered(x_nE, *self.folded)
        y_nE = folded_attention(x_nE, None, shapes, scalings, dropout, parameters)
        return y_nE if residual_nE is None else residual_nE + y_nE

    def add_to(self, residual_BTE: Tensor, x_BTE: Tensor, scaling: Scaling) -> None:
        folded, E = self.folded, x_BTE.shape[2]
        query_BTE = product(x_BTE.view(-1, E), folded.w_query.t(), folded.b_query).view(x_BTE.shape)
        logits_BTT = folded_logits(query_BTE, x_BTE, scaling, folded.w_key_bias, folded.b_key_bias)
        del query_BTE  # its memory, still in the cache, serves what comes next
        mean_BTE = torch.bmm(scaling.weights(logits_BTT), x_BTE)
        residual_nE = residual_BTE.view(-1, E).add_(folded.b_output + folded.b_value)
        add_product(residual_nE, mean_BTE.view(-1, E), folded.w_output.t())
