"""A digest of (order id, score) pairs that does not depend on their order.

It is taken twice: of the session's outputs at the moment they are computed, each with the id of the order
whose row went in, and of the finished file. One exchanged pair among any number of pairs changes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

LANES = (0x243F6A8885A308D3, 0x13198A2E03707344)
"""Starting values of two independent 64-bit hashes: the fraction of pi, which nobody chose."""
TEXT = 0xA4093822299F31D0
"""Keeps the text "1" and the number 1 apart."""
STEP = 0x9E3779B97F4A7C15


class PairDigest:
    """Adds up the hashes of pairs, modulo 2^64 in each of two lanes."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = [0, 0]

    @classmethod
    def of(cls, order_id: NDArray[Any], score: NDArray[np.float32]) -> PairDigest:
        """The digest of these pairs."""
        digest = cls()
        digest.add(order_id, score)
        return digest

    @staticmethod
    def joined(texts: Iterable[str]) -> str:
        """The digest of all pairs of several digests."""
        whole = PairDigest()
        for text in texts:
            count, sums = text.split("-")
            whole._count += int(count)
            for lane in range(len(LANES)):
                sum_of_lane = int(sums[16 * lane : 16 * (lane + 1)], 16)
                whole._sums[lane] = (whole._sums[lane] + sum_of_lane) % 2**64
        return str(whole)

    def add(self, order_id: NDArray[Any], score: NDArray[np.float32]) -> None:
        """Add pairs.

        Args:
            order_id: [N] whole numbers or text.
            score: [N] float32; every bit counts, those of NaN too.
        """
        if len(order_id) != len(score):
            raise ValueError(f"{len(order_id)} order ids and {len(score)} scores make no pairs")
        bits = np.ascontiguousarray(score, np.float32).view(np.uint32).astype(np.uint64)
        self._count += len(score)
        for lane, start in enumerate(LANES):
            hashes = _mixed(hashed_ids(order_id, start) ^ _mixed(bits + np.uint64(start)))
            self._sums[lane] = (self._sums[lane] + int(hashes.sum(dtype=np.uint64))) % 2**64

    def __str__(self) -> str:
        """Number of pairs and both sums, hexadecimal."""
        return f"{self._count}-{self._sums[0]:016x}{self._sums[1]:016x}"


def hashed_ids(order_id: NDArray[Any], start: int = LANES[0]) -> Hashes:
    """A 64-bit hash of each order id, [N]; the same on every machine.

    Args:
        order_id: [N] whole numbers or text.
        start: gives another hash.
    """
    ids = np.asarray(order_id)
    if ids.dtype.kind in "iu":
        return _mixed(ids.astype(np.int64).view(np.uint64) ^ np.uint64(start))
    texts = ids.astype(np.str_)
    width = -(-max(1, texts.dtype.itemsize) // 8)  # words of two characters of UTF-32
    words = np.ascontiguousarray(texts.astype(f"<U{2 * width}")).view("<u8").reshape(len(ids), width)
    hashes = np.full(len(ids), start ^ TEXT, np.uint64)
    for place in range(width):
        word = words[:, place]
        salt = np.uint64((place + 1) * STEP % 2**64)
        # An id must not depend on the width of the array it stands in, so empty words are left out.
        hashes = np.where(word == 0, hashes, _mixed(hashes ^ (word + salt)))
    return _mixed(hashes)


def _mixed(x: Hashes) -> Hashes:
    """SplitMix64's finaliser: every bit of the input changes half of the output's."""
    x = x + np.uint64(STEP)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
