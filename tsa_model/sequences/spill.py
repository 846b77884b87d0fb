"""Columns written to plain files as they come, and read back memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np


class ColumnFiles:
    """Raw column files in one folder; each is appended to until it is first read.

    The names are not used in paths, so they may be anything.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dtypes: dict[str, np.dtype] = {}
        self._paths: dict[str, Path] = {}
        self._open: dict[str, IO[bytes]] = {}
        folder.mkdir(parents=True)

    def append(self, name: str, values: np.ndarray) -> None:
        """Append values; a column keeps the dtype it began with."""
        if name not in self._paths:
            self._dtypes[name] = values.dtype
            self._paths[name] = self._folder / str(len(self._paths))
            self._open[name] = open(self._paths[name], "xb")  # noqa: SIM115, closed by `read`
        self._open[name].write(np.ascontiguousarray(values, dtype=self._dtypes[name]).data)

    def read(self, name: str) -> np.ndarray:
        """Map a column, read-only; nothing can be appended to it any more."""
        if name in self._open:
            self._open.pop(name).close()
        if self._paths[name].stat().st_size == 0:
            return np.empty(0, dtype=self._dtypes[name])
        return np.memmap(self._paths[name], dtype=self._dtypes[name], mode="r").view(np.ndarray)

    def put(self, name: str, values: np.ndarray) -> np.ndarray:
        """Write a whole column and map it."""
        self.append(name, values)
        return self.read(name)
