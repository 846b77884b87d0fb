"""Memory for batches, used again once the batch before is gone."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

SMALL_BYTES = 2**17
"""Smaller arrays are kept by the system's allocator itself."""
KEPT_BYTES = 2**29
"""All that is kept, the latest buffers first; one array may take a quarter of it."""


class BufferPool:
    """Hands out arrays like `np.empty`, from memory of arrays that are gone where there is some.

    A large array that is new costs more than filling it: the system must find and clear each of its pages.
    A tensor made of an array, and all of its views, hold a reference to the buffer below; only a buffer that
    nothing but this pool refers to is handed out again.
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an uninitialised array."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if not SMALL_BYTES <= n_bytes <= KEPT_BYTES // 4:
            return np.empty(shape, dtype)
        with self._lock:
            buffer = self._free(n_bytes)
            return buffer[:n_bytes].view(dtype).reshape(shape)

    def _free(self, n_bytes: int) -> np.ndarray:
        for place in range(len(self._buffers)):
            # Two references: the list's and the one that getrefcount itself holds.
            if sys.getrefcount(self._buffers[place]) == 2 and self._fits(place, n_bytes):
                return self._buffers[place]
        self._buffers.append(np.empty(n_bytes, np.uint8))
        while sum(buffer.nbytes for buffer in self._buffers) > KEPT_BYTES:
            self._buffers.pop(0)
        return self._buffers[-1]

    def _fits(self, place: int, n_bytes: int) -> bool:
        return n_bytes <= self._buffers[place].nbytes <= 2 * n_bytes
