"""Self-attention with its projections multiplied together beforehand, batch first.

A query and a key only ever meet in their product, and so do values and the output projection: where a head is
as wide as the token, or one token alone is read out, the products of the weights replace the weights:

    (Wq x_i + bq)·(Wk x_j + bk)  =  (Wkᵀ Wq x_i + Wkᵀ bq)·x_j + (Wq x_i + bq)·bk
    Wo Σ_j a_ij (Wv x_j + bv)    =  (Wo Wv) Σ_j a_ij x_j + Wo bv
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.export import operators
from tsa_model.network.blocks import TemporalMultiheadAttention

TIME_SCALE_S = 1e6
NARROW = 128
"""Width of all heads' folded queries up to which they cost less than tokens that are cut into heads."""


class Square:
    """Tokens of rows that all have the same number of them: [B·T, E], row after row.

    Args:
        n_tokens: of a row.
    """

    mask_B1T: Tensor | None = None
    factor_BTT: Tensor | None = None

    def __init__(self, n_tokens: int) -> None:
        self.n_tokens = n_tokens

    def spread(self, x_NE: Tensor, heads: int = 1) -> Tensor:
        """Row by row, [B, T · heads, E / heads]."""
        return operators.reshaped(x_NE, [-1, self.n_tokens * heads, x_NE.shape[1] // heads])

    def by_head(self, x_NE: Tensor, heads: int) -> Tensor:
        """Row by row and head by head, [B, heads, T, E / heads]."""
        width = x_NE.shape[1] // heads
        return operators.reshaped(x_NE, [-1, self.n_tokens, heads, width]).transpose(1, 2)

    def packed(self, y_BT: Tensor, heads: int = 1) -> Tensor:
        """The way back, [B, T · heads, ..] → [N, E]."""
        return operators.reshaped(y_BT, [-1, math.prod(y_BT.shape[2:]) * heads])

    def last(self, x_NE: Tensor) -> Tensor:
        """Each row's last token, [B, E]."""
        return self.spread(x_NE)[:, -1]


class Packed:
    """Tokens that are no padding, position after position, [N, E].

    Args:
        mask_BT: True where a token is padding; the last one never is.
        time_BL1: of the orders; None = without times.
    """

    def __init__(self, mask_BT: Tensor, time_BL1: Tensor | None) -> None:
        self.places_N2 = operators.places(mask_BT)
        self.slot_BT, self.last_B = operators.slots(mask_BT, self.places_N2)
        closed_B1T = mask_BT.unsqueeze(1)
        self.mask_B1T = torch.where(closed_B1T, -torch.inf, 0.0)
        """Added to logits."""
        self.factor_BTT = None
        """exp((t_i - t_j) / 10^6 s) of query i and key j; of padding as if it were now, so never infinite."""
        if time_BL1 is not None:
            scaled_BT1 = functional.pad(time_BL1, (0, 0, 0, 1)) / TIME_SCALE_S
            self.factor_BTT = torch.exp(scaled_BT1 - torch.where(closed_B1T, 0.0, scaled_BT1.transpose(1, 2)))

    def spread(self, x_NE: Tensor, heads: int = 1) -> Tensor:
        """Row by row, [B, T, E]; in the place of padding stands the row's last token."""
        assert heads == 1
        return functional.embedding(self.slot_BT, x_NE)

    def by_head(self, x_NE: Tensor, heads: int) -> Tensor:
        """Row by row and head by head, [B, heads, T, E / heads]."""
        return operators.by_head(x_NE, self.slot_BT, heads)

    def packed(self, y_BT: Tensor, heads: int = 1) -> Tensor:
        """The way back, [B, T, ..] → [N, E]."""
        assert heads == 1
        taken = operators.taken(y_BT, self.places_N2)
        return taken if taken.dim() == 2 else operators.reshaped(taken, [-1, math.prod(y_BT.shape[2:])])

    def last(self, x_NE: Tensor) -> Tensor:
        """Each row's last token, [B, E]."""
        return functional.embedding(self.last_B, x_NE)


Layout = Square | Packed


def attention(
    block: TemporalMultiheadAttention, last_only: bool, *, temporal: bool = False, square: bool = False
) -> nn.Module:
    """The form of attention that costs least.

    Args:
        block: gives the weights.
        last_only: read out the last token alone.
        temporal: whether the logits will be multiplied by a time factor.
        square: whether the tokens will be laid out as `Square`.

    Returns:
        A module (x [N, E], layout) → [N, E], or [B, E] of each row's last token.
    """
    if last_only or block.num_heads == 1 or (square and is_narrow(block)):
        return FoldedAttention(block, temporal, last_only)
    return HeadwiseAttention(block)


def is_narrow(block: TemporalMultiheadAttention) -> bool:
    """Whether products of several heads' weights cost less than cutting tokens into heads."""
    return block.num_heads * block.out_proj.in_features <= NARROW


class FoldedAttention(nn.Module):
    """Attention over the tokens themselves; see the module's formulas."""

    def __init__(self, block: TemporalMultiheadAttention, temporal: bool, last_only: bool) -> None:
        super().__init__()
        self.last_only = last_only
        self.num_heads = H = block.num_heads
        E = block.out_proj.in_features
        d = E // H
        dtype = block.in_proj_weight.dtype
        weight = block.in_proj_weight.detach().double().view(3, H, d, E)
        bias = block.in_proj_bias.detach().double().view(3, H, d)
        Wq, Wk, Wv = weight
        bq, bk, bv = bias
        Wo_EHd = block.out_proj.weight.detach().double().view(E, H, d)
        scale = d**-0.5
        self.query = linear(
            scale * torch.einsum("hdk,hde->hke", Wk, Wq).reshape(H * E, E),
            scale * torch.einsum("hdk,hd->hk", Wk, bq).flatten(),
            dtype,
        )
        # Without a time factor this term is the same for every key, and softmax does not see it.
        self.offset = None
        if temporal:
            self.offset = linear(
                scale * torch.einsum("hd,hde->he", bk, Wq), scale * (bq * bk).sum(dim=1), dtype
            )
        self.out = linear(
            torch.einsum("ohd,hde->ohe", Wo_EHd, Wv).reshape(E, H * E),
            torch.einsum("ohd,hd->o", Wo_EHd, bv) + block.out_proj.bias.detach().double(),
            dtype,
        )

    def forward(self, x_NE: Tensor, layout: Layout) -> Tensor:
        """Attend: [N, E] → [N, E], or [B, E] of each row's last token."""
        # The heads of a token are queries of their own, [B, T·H or H, E].
        queries = layout.last(x_NE) if self.last_only else x_NE
        q, x_BTE = self.query(queries), layout.spread(x_NE)
        if self.last_only:
            q = operators.reshaped(q, [0, self.num_heads, x_NE.shape[1]])
        else:
            q = layout.spread(q, self.num_heads)
        logits = q @ x_BTE.transpose(1, 2)
        if layout.factor_BTT is not None:
            assert self.offset is not None
            offset = self.offset(queries)
            logits = logits + (offset.unsqueeze(-1) if self.last_only else layout.spread(offset))
            logits = logits * (layout.factor_BTT[:, -1:] if self.last_only else layout.factor_BTT)
        if layout.mask_B1T is not None:
            logits = logits + layout.mask_B1T
        y = torch.softmax(logits, dim=-1) @ x_BTE
        return self.out(
            operators.reshaped(y, [0, -1]) if self.last_only else layout.packed(y, self.num_heads)
        )


class HeadwiseAttention(nn.Module):
    """Attention of several heads over all tokens, its scale folded into the query's weights."""

    def __init__(self, block: TemporalMultiheadAttention) -> None:
        super().__init__()
        self.num_heads = H = block.num_heads
        E = block.out_proj.in_features
        dtype = block.in_proj_weight.dtype
        weight = block.in_proj_weight.detach().double().clone()
        bias = block.in_proj_bias.detach().double().clone()
        weight[:E] *= (E // H) ** -0.5
        bias[:E] *= (E // H) ** -0.5
        self.project = linear(weight, bias, dtype)
        self.out = linear(block.out_proj.weight.detach(), block.out_proj.bias.detach(), dtype)

    def forward(self, x_NE: Tensor, layout: Layout) -> Tensor:
        """Attend: [N, E] → [N, E]."""
        q, k, v = layout.by_head(self.project(x_NE), 3 * self.num_heads).chunk(3, dim=1)  # [B, H, T, d] each
        logits = q @ k.transpose(-2, -1)
        if layout.factor_BTT is not None:
            logits = logits * layout.factor_BTT.unsqueeze(1)
        if layout.mask_B1T is not None:
            logits = logits + layout.mask_B1T.unsqueeze(1)
        y = torch.softmax(logits, dim=-1) @ v
        return self.out(layout.packed(y.transpose(1, 2)))


def linear(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> nn.Linear:
    """A linear layer of these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
