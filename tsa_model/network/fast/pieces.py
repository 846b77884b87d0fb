"""A batch as pieces of rows small enough for the processor's cache.

Rows of a batch only meet in a mixture's routing, which needs nothing but the small gate tensors. Everything
else runs piece by piece, so that what one operation writes the next one reads from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Shapes = tuple[tuple[int, int], ...]
"""Rows and tokens per row of every piece, (b, T)."""

LEAST_ROWS, LEAST_PIECES = 4, 4
"""Rows of different length: a batch is cut into this many pieces at least, of this many rows each."""


@dataclass(frozen=True)
class PieceSizes:
    """How large the pieces are; the results do not depend on it, beyond rounding.

    Attributes:
        activation_bytes: size of one activation of a piece on a CPU; other devices take the batch whole.
        aggregation_elements: elements of the widest activation of a piece of the feature aggregation: 1 MiB
            in float32.
        at_once: pieces whose tokens are sorted by expert together, since an expert works on its share only.
        dense_work: a mixture in evaluation runs every expert on every token up to this many multiplications:
            that costs less than sorting a few tokens by expert.
    """

    activation_bytes: int = 1 << 20
    aggregation_elements: int = 1 << 18
    at_once: int = 4
    dense_work: int = 25_000_000

    def rows(self, row_elements: int, like: Tensor) -> int:
        """How many rows of `row_elements` elements make a piece, in device and dtype of `like`."""
        return self._rows(row_elements, like, 1)

    def rows_at_once(self, row_elements: int, like: Tensor) -> int:
        """The same for the pieces whose tokens are sorted by expert together."""
        return self._rows(row_elements, like, self.at_once)

    def _rows(self, row_elements: int, like: Tensor, n_pieces: int) -> int:
        if like.device.type != "cpu":
            return 1 << 30
        return max(1, n_pieces * self.activation_bytes // max(1, row_elements * like.element_size()))

    def aggregated_orders(self, n_features: int, dim: int) -> int:
        """How many orders of `n_features` embeddings of width `dim` are aggregated together."""
        return max(1, self.aggregation_elements // (n_features * dim))


def even_size(n: int, most: int) -> int:
    """The size that cuts `n` into as few parts of at most `most` as there can be, nearly alike."""
    n_parts = max(1, -(-n // most))
    return max(1, -(-n // n_parts))


@dataclass(frozen=True)
class Rows:
    """One piece: which rows of the batch, and from which position on they hold anything.

    Attributes:
        index: row numbers, int64 [b].
        start: leading positions that are padding in every one of these rows and can be left out.
    """

    index: Tensor
    start: int = 0


def split_rows(n_rows: int, size: int, device: torch.device) -> list[Rows]:
    """Consecutive pieces of at most `size` rows; one empty piece for an empty batch."""
    return [Rows(index) for index in torch.arange(n_rows, device=device).split(even_size(n_rows, size))]


def one_piece(key_padding_mask_BT: Tensor) -> list[Rows]:
    """All rows in their order, without the positions that they all leave empty."""
    B, T = key_padding_mask_BT.shape
    empty_T = key_padding_mask_BT.all(dim=0).to(torch.uint8)
    return [Rows(torch.arange(B, device=empty_T.device), min(int(empty_T.argmin()), T - 1))]


def split_by_length(key_padding_mask_BT: Tensor, size: int) -> list[Rows]:
    """Pieces of rows of similar length, each without the positions that all its rows leave empty.

    A few rows make small pieces: one of them all would be as long as the longest row.
    """
    first_B = (~key_padding_mask_BT).to(torch.uint8).argmax(dim=1)
    order = torch.argsort(first_B, stable=True)
    size = min(size, max(LEAST_ROWS, -(-len(order) // LEAST_PIECES)))
    pieces = order.split(even_size(len(order), size))
    starts = torch.stack([first_B[index[0]] for index in pieces]).tolist() if len(order) else [0]
    return [Rows(index, start) for index, start in zip(pieces, starts, strict=True)]


def spans(shapes: Shapes) -> Iterator[tuple[int, int, int, int]]:
    """Of every piece its first token, the one behind its last, its rows and the tokens of each of them."""
    start = 0
    for b, T in shapes:
        yield start, start + b * T, b, T
        start += b * T
