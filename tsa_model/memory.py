"""Memory that is no longer needed, given back to the system between two phases of a long command.

Allocators keep what was freed, in case it is wanted again. What a phase kept would lie beside all that the
next one needs, and the peak would be that of both.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np


def give_back() -> None:
    """Return freed memory of Arrow, where it is loaded, and of the C library, where it can."""
    if "pyarrow" in sys.modules:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """`malloc_trim` of glibc; None with another C library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def forget_pages(arrays: Iterable[np.ndarray]) -> None:
    """Let go of the pages of mapped files, which count as this process's; a later access reads them.

    Args:
        arrays: only read; those that map no file are left alone.
    """
    for array in arrays:
        below: Any = array
        while isinstance(below, np.ndarray):
            below = below.base
        if isinstance(below, mmap.mmap):
            below.madvise(mmap.MADV_DONTNEED)
