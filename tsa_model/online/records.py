"""Clean orders as arrays, and as the bytes of a block: some consecutive orders of one key.

A category is kept as a hash of its text, so that a store holds no text of an order, knows no vocabulary
and serves any model over the same columns.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from tsa_model.events.codes import fold

_HEADER = struct.Struct("<II")
_WHOLE, _HASH, _NUMBER = np.dtype("<i8"), np.dtype("<u8"), np.dtype("<f8")
MOST_HASHES = 2**16
"""Texts whose hashes are remembered: categories come again and again."""
NO_CATEGORY = 0
"""Stands for a missing category."""


@dataclass(frozen=True, init=False)
class Records:
    """N orders, sorted by (time, order id)."""

    time_us: np.ndarray
    """[N] int64, microseconds since 1970-01-01 UTC."""
    known_us: np.ndarray
    """[N] int64, from when the label counts."""
    label: np.ndarray
    """[N] int8; -1 = not known."""
    categories: np.ndarray
    """[N, raw categorical columns] uint64 hashes."""
    numbers: np.ndarray
    """[N, numbers] float64: the raw columns, then the kept derived ones; NaN = missing."""
    order_id: np.ndarray
    """[N] int64, or UTF-8 bytes of fixed width."""

    def __init__(
        self,
        time_us: np.ndarray,
        known_us: np.ndarray,
        label: np.ndarray,
        categories: np.ndarray,
        numbers: np.ndarray,
        order_id: np.ndarray,
    ) -> None:
        # All at once: a frozen dataclass sets them one by one, and this is made ten times for an order.
        self.__dict__.update(
            time_us=time_us,
            known_us=known_us,
            label=label,
            categories=categories,
            numbers=numbers,
            order_id=order_id,
        )

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: slice | np.ndarray) -> Records:
        """Some of them."""
        return Records(
            self.time_us[rows],
            self.known_us[rows],
            self.label[rows],
            self.categories[rows],
            self.numbers[rows],
            self.order_id[rows],
        )

    def last(self, n: int) -> Records:
        """The last n of them; all where there are no more."""
        return self if len(self) <= n else self.take(slice(len(self) - n, len(self)))

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """One after the other."""
        parts = _filled(parts)
        if len(parts) == 1:
            return parts[0]
        columns = zip(*map(_arrays, parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def place(self, time_us: int, order_id: int | bytes) -> int | None:
        """Where an order lies; None = nowhere."""
        first, last = np.searchsorted(self.time_us, [time_us, time_us + 1])
        found = np.flatnonzero(self.order_id[first:last] == order_id)
        return int(first + found[0]) if len(found) else None

    def id(self, row: int = 0) -> int | str:
        """The order id of a row."""
        value = self.order_id[row].item()
        return value.decode() if isinstance(value, bytes) else value

    def name(self, row: int = 0) -> bytes:
        """What stands for the order id of a row in a store."""
        return id_bytes(self.id(row))

    def named(self, name: bytes) -> int | None:
        """The row of an order; None = it is not there."""
        return next((row for row in range(len(self)) if self.name(row) == name), None)

    def packed(self, *behind: Records) -> bytes:
        """As bytes, with others behind them."""
        parts = _filled((self, *behind))
        ids = max((part.order_id.dtype for part in parts), key=lambda dtype: dtype.itemsize)
        chunks = [_HEADER.pack(sum(map(len, parts)), 0 if ids.kind == "i" else ids.itemsize)]
        for name in ("time_us", "known_us", "categories", "numbers"):
            chunks += [getattr(part, name).tobytes() for part in parts]
        chunks += [part.order_id.astype(ids, copy=False).tobytes() for part in parts]
        chunks += [part.label.tobytes() for part in parts]
        return b"".join(chunks)

    @classmethod
    def unpacked(cls, block: bytes, n_categories: int, n_numbers: int, at: int = 0) -> Records:
        """From bytes, from a place on; the arrays are views of them."""
        n, width = _HEADER.unpack_from(block, at)
        known = at + _HEADER.size + 8 * n
        categories = known + 8 * n
        numbers = categories + 8 * n * n_categories
        ids = numbers + 8 * n * n_numbers
        labels = ids + n * (width or 8)
        return cls(
            np.ndarray(n, _WHOLE, block, known - 8 * n),
            np.ndarray(n, _WHOLE, block, known),
            np.ndarray(n, np.int8, block, labels),
            np.ndarray((n, n_categories), _HASH, block, categories),
            np.ndarray((n, n_numbers), _NUMBER, block, numbers),
            np.ndarray(n, f"S{width}" if width else _WHOLE, block, ids),
        )

    @staticmethod
    def count(block: bytes) -> int:
        """Number of orders in a block."""
        return _HEADER.unpack_from(block)[0]


@cache
def no_records(n_categories: int, n_numbers: int) -> Records:
    """No orders."""
    moments = np.empty(0, np.int64)
    categories, numbers = np.empty((0, n_categories), np.uint64), np.empty((0, n_numbers))
    return Records(moments, moments, np.empty(0, np.int8), categories, numbers, moments)


def _filled(parts: Sequence[Records]) -> Sequence[Records]:
    """Those that hold any order, or one that holds none."""
    return [part for part in parts if len(part.time_us)] or parts[:1]


def _arrays(records: Records) -> tuple[np.ndarray, ...]:
    r = records
    return r.time_us, r.known_us, r.label, r.categories, r.numbers, r.order_id


def id_bytes(value: int | str) -> bytes:
    """What stands for an id or a key in a store: 8 bytes of a whole number, or 16 of a text's hash."""
    if isinstance(value, int):
        return (value + 2**63).to_bytes(8, "big")
    return hashlib.blake2b(value.encode(), digest_size=16).digest()


@lru_cache(MOST_HASHES)
def hash_text(text: str, folded: bool = False) -> int:
    """What stands for a category: 64 bits, never `NO_CATEGORY`.

    Args:
        text: the category.
        folded: texts that differ only in case and spaces are one.
    """
    digest = hashlib.blake2b((fold(text) if folded else text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
