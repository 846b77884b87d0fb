"""Columns written to plain files as they come, and read back memory-mapped."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.codes import Codes
from tsa_model.events.errors import BadEvents

T = TypeVar("T")

ID_BLOCK = 2**20
RESIDENT_BYTES = 2**28
"""Mapped pages count as this process's memory; above this much they are given back."""


class ColumnFiles:
    """Raw column files in one folder; each is appended to until it is first read.

    The names are not used in paths, so they may be anything.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dtypes: dict[str, np.dtype] = {}
        self._paths: dict[str, Path] = {}
        self._open: dict[str, IO[bytes]] = {}
        self._maps: dict[str, mmap.mmap] = {}
        self._resident = 0
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
        if name not in self._maps:
            if self._paths[name].stat().st_size == 0:
                return np.empty(0, dtype=self._dtypes[name])
            with open(self._paths[name], "rb") as stream:
                self._maps[name] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._note_use(len(self._maps[name]))
        return np.frombuffer(self._maps[name], dtype=self._dtypes[name])

    def _note_use(self, n_bytes: int) -> None:
        self._resident += n_bytes
        if self._resident > RESIDENT_BYTES:
            for mapped in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)  # a later access reads the file again
            self._resident = n_bytes

    def put(self, name: str, values: np.ndarray) -> np.ndarray:
        """Write a whole column and map it."""
        self.append(name, values)
        return self.read(name)

    def put_all(self, prefix: str, columns: Mapping[str, np.ndarray]) -> FileColumns[np.ndarray]:
        """Write whole columns, to be mapped when they are asked for."""
        written: FileColumns[np.ndarray] = FileColumns()
        for name, values in columns.items():
            self.append(f"{prefix} {name}", values)
            written.add(name, partial(self.read, f"{prefix} {name}"))
        return written


class MemoryColumns(ColumnFiles):
    """The same for a few rows, in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        """Append values."""
        self._parts.setdefault(name, []).append(values)

    def read(self, name: str) -> np.ndarray:
        """A column."""
        parts = self._parts[name]
        if len(parts) > 1:
            self._parts[name] = parts = [np.concatenate(parts)]
        return parts[0]


class FileColumns(Mapping[str, T]):
    """Named columns that are mapped anew whenever they are asked for."""

    def __init__(self) -> None:
        self._load: dict[str, Callable[[], T]] = {}

    def add(self, name: str, load: Callable[[], T]) -> None:
        """Add a column; `load` maps it."""
        self._load[name] = load

    def __getitem__(self, name: str) -> T:
        return self._load[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._load  # a mapping's own way would map the column

    def __iter__(self) -> Iterator[str]:
        return iter(self._load)

    def __len__(self) -> int:
        return len(self._load)


class TextColumn:
    """Numbers the distinct texts of a column as they come."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self._most = name, most
        self._number: dict[str, int] = {}

    def codes(self, files: ColumnFiles, file: str) -> Codes:
        """Map the column that was written to `file` in this numbering."""
        return Codes(files.read(file), list(self._number))

    def encode(self, texts: pa.Array) -> np.ndarray:
        """Number texts, [n] int32; null is -1."""
        encoded = texts.dictionary_encode()
        code = pc.fill_null(encoded.indices, -1).to_numpy()
        return self.renumber(Codes(code, encoded.dictionary.to_pylist()))

    def renumber(self, codes: Codes) -> np.ndarray:
        """Number texts that are numbered otherwise, [n] int32."""
        table = [self._number.setdefault(text, len(self._number)) for text in codes.values]
        if len(self._number) > self._most:
            raise BadEvents(
                f"vocabulary overflow: column {self.name!r} has more than {self._most:,} distinct values "
                "(10 · max_values); it is not a category, or raise max_values"
            )
        return np.array([*table, -1], dtype=np.int32)[codes.code]


class IdColumn:
    """Order ids as int64, or as UTF-8 bytes of one width, which is known only at the end."""

    def __init__(self, files: ColumnFiles) -> None:
        self._files = files
        self._is_text = False
        self._read: np.ndarray | None = None
        self.n_rows = 0

    def append(self, ids: pa.Array) -> None:
        """Append ids of the same type as before."""
        self.n_rows += len(ids)
        if pa.types.is_integer(ids.type):
            self._files.append("order_id", ids.to_numpy())
            return
        self._is_text = True
        data = ids.cast(pa.binary())
        self._files.append("id_length", pc.binary_length(data).to_numpy())
        offsets = np.frombuffer(data.buffers()[1], np.int32)[data.offset : data.offset + len(data) + 1]
        self._files.append("id_bytes", np.frombuffer(data.buffers()[2], np.uint8)[offsets[0] : offsets[-1]])

    def read(self) -> np.ndarray:
        """Map the ids."""
        if self._read is None:
            if self._is_text:
                self._pad()
            self._read = self._files.read("order_id")
        return self._read

    def _pad(self) -> None:
        length, data = self._files.read("id_length"), self._files.read("id_bytes")
        width = int(length.max())
        done = 0
        for first in range(0, len(length), ID_BLOCK):
            part = length[first : first + ID_BLOCK]
            padded = np.zeros((len(part), width), dtype=np.uint8)
            padded[np.arange(width) < part[:, None]] = data[done : done + part.sum()]
            done += int(part.sum())
            self._files.append("order_id", padded.view(f"S{width}").ravel())
