"""Self-attention with its projections multiplied together beforehand, batch first.

A query and a key only ever meet in their product, and so do values and the output projection: where a head is
as wide as the token, or one token alone is read out, the products of the weights replace the weights:

    (Wq x_i + bq)·(Wk x_j + bk)  =  (Wkᵀ Wq x_i + Wkᵀ bq)·x_j + (Wq x_i + bq)·bk
    Wo Σ_j a_ij (Wv x_j + bv)    =  (Wo Wv) Σ_j a_ij x_j + Wo bv
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsa_model.export import operators
from tsa_model.network.blocks import TemporalMultiheadAttention

TIME_SCALE_S = 1e6


@dataclass(frozen=True)
class AttentionInput:
    """Tensors that all layers over a history share."""

    real_BT: Tensor
    """False where a key is padding."""
    closed_B1T: Tensor
    """True where a key is padding."""
    factor_BTT: Tensor | None
    """exp((t_i - t_j) / 10^6 s) of query i and key j; None without times."""

    @classmethod
    def build(cls, mask_BT: Tensor, time_BT1: Tensor | None) -> AttentionInput:
        """Prepare the mask and the time factor once for all layers."""
        factor = None
        if time_BT1 is not None:
            scaled = time_BT1 / TIME_SCALE_S
            factor = torch.exp(scaled - scaled.transpose(1, 2))
        return cls(~mask_BT, mask_BT.unsqueeze(1), factor)


def attention(block: TemporalMultiheadAttention, temporal: bool, last_only: bool) -> nn.Module:
    """The form of attention that costs least.

    Args:
        block: gives the weights.
        temporal: whether the logits will be multiplied by a time factor.
        last_only: read out the last token alone.

    Returns:
        A module (x [B, T, E], AttentionInput or None) → [B, T, E], or [B, E] of the last token.
    """
    if last_only or block.num_heads == 1:
        return FoldedAttention(block, temporal, last_only)
    return HeadwiseAttention(block)


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

    def forward(self, x_BTE: Tensor, given: AttentionInput | None) -> Tensor:
        """Attend: [B, T, E] → [B, T, E], or [B, E] of the last token."""
        # One head over all tokens, or all heads over one token: [B, T or H, E].
        if self.last_only:
            queries = x_BTE[:, -1]
            q = operators.reshaped(self.query(queries), [0, self.num_heads, x_BTE.shape[2]])
        else:
            queries = x_BTE
            q = operators.linear(x_BTE, self.query.weight, self.query.bias)
        logits = q @ x_BTE.transpose(1, 2)
        if given is not None:
            if given.factor_BTT is not None:
                assert self.offset is not None
                offset = self.offset(queries)
                logits = logits + (offset.unsqueeze(-1) if self.last_only else offset)
                logits = logits * (given.factor_BTT[:, -1:] if self.last_only else given.factor_BTT)
            # Chosen, not added: the factor of padding may be infinite.
            logits = torch.where(given.closed_B1T, -torch.inf, logits)
        y = torch.softmax(logits, dim=-1) @ x_BTE
        if self.last_only:
            return self.out(operators.reshaped(y, [0, -1]))
        return operators.linear(y, self.out.weight, self.out.bias)


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

    def forward(self, x_BTE: Tensor, given: AttentionInput | None) -> Tensor:
        """Attend: [B, T, E] → [B, T, E]."""
        H, E = self.num_heads, x_BTE.shape[2]
        projected = operators.reshaped(self.project(x_BTE), [0, 0, 3 * H, E // H])
        q, k, v = projected.transpose(1, 2).chunk(3, dim=1)  # [B, H, T, d] each
        logits = q @ k.transpose(-2, -1)
        if given is not None:
            if given.factor_BTT is not None:
                logits = logits * given.factor_BTT.unsqueeze(1)
            logits = torch.where(given.closed_B1T.unsqueeze(1), -torch.inf, logits)
        y = torch.softmax(logits, dim=-1) @ v
        y_BTE = operators.reshaped(y.transpose(1, 2), [0, 0, E])
        return operators.linear(y_BTE, self.out.weight, self.out.bias)


def linear(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> nn.Linear:
    """A linear layer of these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
