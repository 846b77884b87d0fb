"""Which orders of a batch are the same: histories overlap, and a customer's are mostly its card's too."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

FEWEST = 256
"""Below so many orders looking for equal ones costs more than it saves."""

_SAME_SIZE = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def distinct_orders(x_cat_nF: Tensor, x_num_nF: Tensor) -> tuple[Tensor, Tensor] | None:
    """Find the orders that are equal to the bit.

    Args:
        x_cat_nF: categories, int64 [n, Fc].
        x_num_nF: numbers, floats [n, Fn].

    Returns:
        One place for each of the m distinct orders, int64 [m], and which of them every order is, int64 [n].
        None where nothing is gained, or where gradients of single orders are asked for.
    """
    if len(x_cat_nF) < FEWEST or x_num_nF.requires_grad:
        return None
    bits_nF = x_num_nF.detach().contiguous().view(_SAME_SIZE[x_num_nF.element_size()])
    content_nF = torch.cat([x_cat_nF, bits_nF.to(torch.int64)], dim=1)
    factors_F = _factors(content_nF.shape[1]).to(content_nF.device)
    found, which_n = torch.unique((content_nF * factors_F).sum(dim=1), return_inverse=True)
    if len(found) == len(which_n):
        return None
    place_n = torch.arange(len(which_n), device=which_n.device)
    first_m = torch.full_like(found, len(which_n)).scatter_reduce_(0, which_n, place_n, "amin")
    if not torch.equal(content_nF.index_select(0, first_m.index_select(0, which_n)), content_nF):
        return None  # two different orders with one sum, once in a very long time
    return first_m, which_n


@cache
def _factors(n: int) -> Tensor:
    """Odd numbers: the sum of number · factor, modulo 2^64, tells orders apart."""
    highest = torch.iinfo(torch.int64).max
    generator = torch.Generator().manual_seed(n)
    return torch.randint(-highest, highest, (n,), generator=generator) | 1
