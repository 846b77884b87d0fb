"""A prepared and fitted data set → the files of a store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.columns.event_columns import Columns, KeyedEvents, Orders, Prepared
from tsa_model.sequences.features.encoding import Encoding, Role
from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.sequences.features.targets import Targets, select_targets
from tsa_model.sequences.store.storage import StoreManifest, write_array, write_manifest, write_npy
from tsa_model.settings.dataset import DatasetDescription

BLOCK_BYTES = 64 * 2**20
BLOCK_ROWS = 2**21


def write_store(
    folder: Path,
    prepared: Prepared,
    description: DatasetDescription,
    fitted: Preprocessing,
    files: ColumnFiles,
    events_sha256: str | None = None,
) -> None:
    """Write all files of a store.

    Args:
        folder: an existing folder, the store to be.
        prepared: the data set.
        description: what it was prepared by; it goes into the manifest.
        fitted: vocabulary, scaler and defaults.
        files: where columns are written on their way.
        events_sha256: of the validated events, for the manifest.
    """
    orders = prepared.orders
    targets = select_targets(orders.time_us, orders.label, description, orders.numerical, orders.known_us)
    fitted.save(folder / "preprocessing.json")
    _write_orders(folder, orders, targets)
    encoder = _Encoder(fitted, files)
    _write_matrix(folder / "engineered.npy", encoder.engineered(orders), np.arange(len(orders)), padding=0)
    for key, keyed in prepared.keyed.items():
        _write_keyed(folder, key, keyed, encoder)
    write_manifest(
        folder,
        StoreManifest(
            description=description,
            keys=tuple(prepared.keyed),
            orders=len(orders),
            labelled_orders=int(np.count_nonzero(orders.label != UNKNOWN_LABEL)),
            quarantined=prepared.n_quarantined,
            targets={period: len(rows) for period, rows in targets.rows.items()},
            prior=targets.prior,
            sampled_prior=targets.sampled_prior,
            events_sha256=events_sha256,
        ),
    )


def _write_orders(folder: Path, orders: Orders, targets: Targets) -> None:
    """Write what belongs to an order itself, in chronological order."""
    write_array(folder / "order_id.npy", orders.order_id)
    lookup = np.argsort(orders.order_id, kind="stable").astype(np.int32)
    write_array(folder / "order_id_lookup.npy", lookup)
    write_array(folder / "time_us.npy", orders.time_us)
    write_array(folder / "label.npy", orders.label)
    if orders.known_us is not None:
        write_array(folder / "known_us.npy", orders.known_us)
    for period, rows in targets.rows.items():
        write_array(folder / f"targets_{period}.npy", rows)


def _write_keyed(folder: Path, key: str, keyed: KeyedEvents, encoder: _Encoder) -> None:
    """Write one key's events in its order, and where each order's history lies in them."""
    columns, rows = keyed.columns, keyed.places["rows"]
    _write_matrix(folder / f"{key}_categorical.npy", encoder.categorical(columns), rows)
    _write_matrix(folder / f"{key}_numerical.npy", encoder.numerical(columns), rows)
    _write_reordered(folder / f"{key}_time_us.npy", columns.time_us, rows, padding=0)
    _write_reordered(folder / f"{key}_label.npy", columns.label, rows, padding=UNKNOWN_LABEL)
    if columns.known_us is not None:
        _write_reordered(folder / f"{key}_known_us.npy", columns.known_us, rows, padding=0)
    for part in ("position", "start", "end"):
        write_array(folder / f"{key}_{part}.npy", keyed.places[part])


def _write_reordered(path: Path, column: np.ndarray, rows: np.ndarray, padding: int) -> None:
    blocks = (column[rows[first : first + BLOCK_ROWS]] for first in range(0, len(rows), BLOCK_ROWS))
    last = np.array([padding], dtype=column.dtype)
    write_npy(path, chain(blocks, [last]), (len(rows) + 1,), column.dtype)


class _EncodedColumns:
    """Columns of one dtype on disk, mapped one at a time."""

    def __init__(self, files: ColumnFiles, names: list[str], dtype: np.dtype) -> None:
        self._files, self._names, self.dtype = files, names, dtype

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._files.read(name) for name in self._names)


class _Encoder:
    """Turns raw columns into model inputs, each only once, though both keys' matrices hold it."""

    def __init__(self, fitted: Preprocessing, files: ColumnFiles) -> None:
        self._encoding, self._files = Encoding(fitted), files
        self._done: dict[tuple[int, str], _EncodedColumns] = {}

    def categorical(self, columns: Columns) -> _EncodedColumns:
        """Vocabulary indices; without the known label, which depends on the target."""
        return self._encode("categorical", columns)

    def numerical(self, columns: Columns) -> _EncodedColumns:
        """Scaled sequence features."""
        return self._encode("numerical", columns)

    def engineered(self, orders: Orders) -> _EncodedColumns:
        """Scaled features of the orders themselves."""
        return self._encode("engineered", orders)

    def _encode(self, role: Role, columns: Columns) -> _EncodedColumns:
        place = (id(columns), role)
        if place not in self._done:
            names = self._encoding.names(role, columns)
            files = [f"encoded {role} {len(self._done)} {name}" for name in names]
            for file, name in zip(files, names, strict=True):
                for first in range(0, len(columns), BLOCK_ROWS):
                    part = slice(first, first + BLOCK_ROWS)
                    self._files.append(file, self._encoding.column(role, columns, name, part))
            self._done[place] = _EncodedColumns(self._files, files, self._encoding.dtype(role))
        return self._done[place]


def _write_matrix(path: Path, columns: _EncodedColumns, rows: np.ndarray, padding: int = 1) -> None:
    """Write columns side by side, row-major, in the order of `rows`, then `padding` rows of zeros."""

    def blocks() -> Iterator[np.ndarray]:
        size = max(1, BLOCK_BYTES // max(1, len(columns) * columns.dtype.itemsize))
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            block = np.empty((len(part), len(columns)), dtype=columns.dtype)
            for place, column in enumerate(columns):
                block[:, place] = column[part]
            yield block
        yield np.zeros((padding, len(columns)), dtype=columns.dtype)

    write_npy(path, blocks(), (len(rows) + padding, len(columns)), columns.dtype)
