"""Batches: the tensors a network takes, by name (TSA spec, section 1). Their names are spelled only here.

This module needs torch to be used but not to be imported, so that whoever assembles batches starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Batch = dict[str, "Tensor"]
"""Tensor name → tensor; rows first, but for `attn_mask`, which has none."""


def as_dtype(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch with its floating-point tensors in another precision."""
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in batch.items()}


def n_rows(batch: Batch) -> int:
    """B of a batch."""
    return len(next(iter(batch.values())))


def rows_of(batch: Batch, rows: Tensor | slice) -> Batch:
    """Some rows of a batch; an attention mask, which has no rows, is kept."""
    return {name: x if name == "attn_mask" else x[rows] for name, x in batch.items()}


def chunks(batch: Batch, n: int) -> Iterator[Batch]:
    """Consecutive chunks of at most `n` rows."""
    for start in range(0, n_rows(batch), n):
        yield rows_of(batch, slice(start, start + n))
