"""Matrix products, by oneDNN where they are large.

Torch's own product of two float32 matrices is MKL's, which leaves the AVX-512 of processors that are not
Intel's unused: there oneDNN takes half of its time, and elsewhere no longer. A call of it costs more, so
small ones stay torch's. It makes code for every size that it meets for the first time, which costs more
than many a product, so sizes should repeat.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LEAST_MULTIPLICATIONS = 1 << 22
"""Of a product that oneDNN is called for."""
LEAST_WEIGHTS = 1 << 13
"""Of a matrix that ever other numbers of tokens are multiplied with."""
LEAST_TOKENS = 512
"""Fewer are not padded to a number that repeats."""

_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(x_nK: Tensor, w_KM: Tensor, bias_M: Tensor | None = None, *, varies: bool = False) -> Tensor:
    """The product x @ w, plus a bias, [n, M]; torch records no gradients of it.

    Args:
        x_nK: left matrix.
        w_KM: right matrix.
        bias_M: added to every row.
        varies: whether the largest of n, K and M is another one every time.
    """
    if _pays(x_nK, w_KM, varies):
        return _onednn(x_nK, w_KM.t(), bias_M, "none", [], "")
    return x_nK @ w_KM if bias_M is None else torch.addmm(bias_M, x_nK, w_KM)


def relu_of_product(x_nK: Tensor, w_KM: Tensor, *, varies: bool = False) -> Tensor:
    """The product, and 0 where it is less; see `product`."""
    if _pays(x_nK, w_KM, varies):
        return _onednn(x_nK, w_KM.t(), None, "relu", [], "")
    return (x_nK @ w_KM).relu_()


def add_product(sum_nM: Tensor, x_nK: Tensor, w_KM: Tensor, *, varies: bool = False) -> None:
    """Add the product to what is there; see `product`."""
    if _pays(x_nK, w_KM, varies):
        sum_nM += _onednn(x_nK, w_KM.t(), None, "none", [], "")
    else:
        sum_nM.addmm_(x_nK, w_KM)


def with_padding(index_n: Tensor, w_KM: Tensor) -> Tensor:
    """Which tokens are multiplied with a matrix, and token 0 until their number is one of few."""
    n = len(index_n)
    if n < LEAST_TOKENS or w_KM.numel() < LEAST_WEIGHTS:
        return index_n
    step = 1 << (n.bit_length() - 4)  # an eighth of the power of two below n
    return functional.pad(index_n, (0, -n % step))


def _pays(x_nK: Tensor, w_KM: Tensor, varies: bool) -> bool:
    (n, K), M = x_nK.shape, w_KM.shape[1]
    least = max(LEAST_MULTIPLICATIONS, LEAST_WEIGHTS * max(n, K, M) if varies else 0)
    return n * K * M >= least and x_nK.dtype == torch.float32 and x_nK.is_cpu and _onednn is not None
