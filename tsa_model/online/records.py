"""Clean orders as arrays, and as the bytes of a block: some consecutive orders of one key.

A category is kept as a hash of its text, so that a store holds no text of an order, knows no vocabulary
and serves any model over the same columns.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsa_model.events.codes import fold

_HEADER = struct.Struct("<II")
NO_CATEGORY = 0
"""Stands for a missing category."""


@dataclass(frozen=True)
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

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """One after the other."""
        parts = [part for part in parts if len(part)] or parts[:1]
        if len(parts) == 1:
            return parts[0]
        columns = zip(*map(_arrays, parts), strict=True)
        return cls(*map(np.concatenate, columns))

    @classmethod
    def none(cls, n_categories: int, n_numbers: int) -> Records:
        """No orders."""
        moments = np.empty(0, np.int64)
        categories, numbers = np.empty((0, n_categories), np.uint64), np.empty((0, n_numbers))
        return cls(moments, moments, np.empty(0, np.int8), categories, numbers, moments)

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

    def packed(self) -> bytes:
        """As bytes."""
        width = 0 if self.order_id.dtype.kind == "i" else self.order_id.dtype.itemsize
        arrays = (self.time_us, self.known_us, self.categories, self.numbers, self.order_id, self.label)
        header = _HEADER.pack(len(self), width)
        return header + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)

    @classmethod
    def unpacked(cls, block: bytes | memoryview, n_categories: int, n_numbers: int) -> Records:
        """From bytes; the arrays are views of them."""
        n, width = _HEADER.unpack_from(block)
        at = _HEADER.size

        def read(dtype: str, per_row: int = 1) -> np.ndarray:
            nonlocal at
            array = np.frombuffer(block, dtype, n * per_row, at)
            at += array.nbytes
            return array

        time_us, known_us = read("<i8"), read("<i8")
        categories = read("<u8", n_categories).reshape(n, n_categories)
        numbers = read("<f8", n_numbers).reshape(n, n_numbers)
        order_id = read(f"S{width}" if width else "<i8")
        return cls(time_us, known_us, read("i1"), categories, numbers, order_id)

    @staticmethod
    def count(block: bytes) -> int:
        """Number of orders in a block."""
        return _HEADER.unpack_from(block)[0]


def _arrays(records: Records) -> tuple[np.ndarray, ...]:
    r = records
    return r.time_us, r.known_us, r.label, r.categories, r.numbers, r.order_id


def id_bytes(value: int | str) -> bytes:
    """What stands for an id or a key in a store: 8 bytes of a whole number, or 16 of a text's hash."""
    if isinstance(value, int):
        return (value + 2**63).to_bytes(8, "big")
    return hashlib.blake2b(value.encode(), digest_size=16).digest()


def hash_text(text: str, folded: bool = False) -> int:
    """What stands for a category: 64 bits, never `NO_CATEGORY`.

    Args:
        text: the category.
        folded: texts that differ only in case and spaces are one.
    """
    digest = hashlib.blake2b((fold(text) if folded else text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
