"""Matrix products, by oneDNN where they are large.

Torch's own product of two float32 matrices is MKL's, which leaves the AVX-512 of processors that are not
Intel's unused: there oneDNN takes half of its time, and elsewhere no longer. A call of it costs more, so
small ones stay torch's. It makes code for every size that it meets and keeps it, so tokens are handed over in
blocks of few sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

LEAST_MULTIPLICATIONS = 1 << 23
"""Of a block that oneDNN is called for."""
BLOCK = 1024
"""Tokens of the largest blocks; the others have a half of it, a quarter, and so on."""

_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(x_nK: Tensor, w_KM: Tensor, bias_M: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """The product x @ w of n tokens, [n, M]; torch records no gradients of it.

    Args:
        x_nK: tokens.
        w_KM: a layer's weights.
        bias_M: added to every token.
        out: where the result goes, [n, M].
    """
    y_nM = x_nK.new_empty(len(x_nK), w_KM.shape[1]) if out is None else out
    end = 0
    for start, end in _blocks(x_nK, w_KM.shape[1]):
        y_nM[start:end] = _onednn(x_nK[start:end], w_KM.t(), bias_M, "none", [], "")
    if end < len(x_nK):
        rest = y_nM[end:]
        if bias_M is None:
            torch.mm(x_nK[end:], w_KM, out=rest)
        else:
            torch.addmm(bias_M, x_nK[end:], w_KM, out=rest)
    return y_nM


def add_product(sum_nM: Tensor, x_nK: Tensor, w_KM: Tensor) -> None:
    """Add x @ w to what is there; see `product`."""
    end = 0
    for start, end in _blocks(x_nK, w_KM.shape[1]):
        sum_nM[start:end] += _onednn(x_nK[start:end], w_KM.t(), None, "none", [], "")
    if end < len(x_nK):
        sum_nM[end:].addmm_(x_nK[end:], w_KM)


def add_gradient(sum_KM: Tensor, x_nK: Tensor, grad_nM: Tensor) -> None:
    """Add x' @ grad to what is there: the weights' gradient from the tokens' and the results'."""
    end = 0
    for start, end in _blocks(x_nK, grad_nM.shape[1]):
        sum_KM += _onednn(x_nK[start:end].t(), grad_nM[start:end].t(), None, "none", [], "")
    if end < len(x_nK):
        sum_KM.addmm_(x_nK[end:].t(), grad_nM[end:])


def _blocks(x_nK: Tensor, n_columns: int) -> Iterator[tuple[int, int]]:
    """Where the blocks of oneDNN begin and end."""
    n, K = x_nK.shape
    if x_nK.dtype != torch.float32 or not x_nK.is_cpu or _onednn is None:
        return
    start, size = 0, BLOCK
    while size * K * n_columns >= LEAST_MULTIPLICATIONS and size > 0:
        while start + size <= n:
            yield start, start + size
            start += size
        size //= 2
