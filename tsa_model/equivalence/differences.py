"""Comparing two tensors: how far apart, and where."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tsa_model.equivalence import tolerance


class Difference(NamedTuple):
    """The distance of two tensors of one shape."""

    used: float
    """Largest |a - b| / (ATOL + RTOL · |b|): the share of the promise that is used up."""
    absolute: float
    """Largest |a - b|."""
    relative: float
    """Largest |a - b| divided by the largest |b|."""
    row: int
    """The row (first index) of the largest share."""
    column: str
    """The rest of its index."""


def difference(x: Tensor, reference: Tensor) -> Difference:
    """Compare `x` with `reference`, element by element.

    Where a value is NaN or infinite the difference is infinite, even if both tensors agree on it.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if x.shape != reference.shape:
        raise ValueError(f"shapes differ: {tuple(x.shape)} and {tuple(reference.shape)}")
    if x.numel() == 0:
        raise ValueError(f"nothing to compare: both tensors have the shape {tuple(x.shape)}")
    x, reference = x.double(), reference.double()
    finite = torch.isfinite(x) & torch.isfinite(reference)
    gap = (x - reference).abs()
    gap = torch.where(finite, gap, torch.inf)  # a NaN is never right, not even on both sides
    used = gap / (tolerance.ATOL + tolerance.RTOL * reference.abs().nan_to_num(0.0, 0.0, 0.0))
    scale = reference[torch.isfinite(reference)].abs().max().item() if finite.any() else 0.0
    worst = int(used.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(worst), used.shape)] if used.dim() else [0]
    largest = gap.max().item()
    return Difference(
        used=used.max().item(),
        absolute=largest,
        relative=largest / scale if scale > 0 else (0.0 if largest == 0 else float("inf")),
        row=index[0],
        column=str(index[1:]) if len(index) > 1 else "",
    )


def ulp_distance(x: Tensor, truth: Tensor) -> Tensor:
    """|x - truth| in units in the last place of float32 at `truth`; x float32, truth float64."""
    exponent = torch.frexp(truth.abs().clamp(min=torch.finfo(torch.float32).tiny)).exponent
    return (x.double() - truth).abs() / torch.ldexp(torch.ones_like(truth), exponent - 24)
