"""SequenceStore: every event once per key order on disk; a batch is one gather away."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tsa_model.dataset import KNOWN_LABEL, PERIODS, DatasetDescription
from tsa_model.sequences.buffers import BufferPool
from tsa_model.sequences.columns import DAY_US, MICROSECONDS, UNKNOWN_LABEL
from tsa_model.sequences.preprocessing import LABEL_VALUES, Preprocessing
from tsa_model.sequences.storage import read_manifest, read_npy

if TYPE_CHECKING:
    import torch

    from tsa_model.sequences.engine import EngineName

MAX_TIME_S = 1e7
BLOCK = 1 << 16
"""Orders gathered at a time."""


@dataclass(frozen=True)
class _Sequences:
    """The files of one ordering; the matrices' last row is the padding, all zeros."""

    categorical: np.ndarray
    numerical: np.ndarray
    time_us: np.ndarray
    label: np.ndarray
    position: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @cached_property
    def categorical_rows(self) -> torch.Tensor:
        """The categorical matrix as a tensor over the same memory; only read."""
        return _tensor_over(self.categorical)

    @cached_property
    def numerical_rows(self) -> torch.Tensor:
        """The numerical matrix as a tensor over the same memory; only read."""
        return _tensor_over(self.numerical)


class SequenceStore:
    """Histories of orders by customer and by card, read from a folder made by `build`.

    A row number names an order: orders are numbered by (time, order id).
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any], digest: str) -> None:
        self.directory = directory
        self.manifest = manifest
        self.digest = digest
        """Hex SHA-256 of the manifest, and so of everything in the store."""
        self.description = DatasetDescription.model_validate(manifest["description"])
        self.preprocessing = Preprocessing.load(directory / "preprocessing.json")
        self.keys: tuple[str, ...] = tuple(manifest["keys"])
        self._sequences = {
            key: _Sequences(
                **{name: self._array(f"{key}_{name}") for name in _Sequences.__dataclass_fields__}
            )
            for key in self.keys
        }
        self._order_id = self._array("order_id")
        self._by_order_id = self._array("order_id_lookup")
        self._time_us = self._array("time_us")
        self._label = self._array("label")
        self._engineered = self._array("engineered")
        self._targets = {period: self._array(f"targets_{period}") for period in PERIODS}
        self._label_index = self._known_label_indices()
        self._memory = BufferPool()

    def _array(self, name: str) -> np.ndarray:
        return read_npy(self.directory / f"{name}.npy")

    def _known_label_indices(self) -> np.ndarray | None:
        """Vocabulary index of label -1, 0, 1 at places 0, 1, 2."""
        if not self.description.known_label:
            return None
        values = self.preprocessing.categorical[KNOWN_LABEL].values
        return np.array([values[name] for name in LABEL_VALUES], dtype=np.int64)

    @classmethod
    def build(
        cls,
        events: Any,
        dataset_description: DatasetDescription | dict[str, Any] | str | Path,
        directory: str | Path,
        preprocessing: Preprocessing | Mapping | str | Path | None = None,
        engine: EngineName = "duckdb",
    ) -> SequenceStore:
        """Build a store; `directory` is replaced once the new store is whole.

        Args:
            events: one path or several (Parquet, CSV, .gz, a folder of them), or an Arrow or pandas table.
            dataset_description: see `DatasetDescription.load`.
            directory: the folder to make.
            preprocessing: vocabulary, scaler and defaults fitted earlier (a JSON file, for instance another
                store's `preprocessing.json`); None fits them on the training window.
            engine: `duckdb` works inside this process; `pyspark` in the Spark session that is active, or that
                Spark's own settings describe. The store is the same. Wide rows need neither.

        Raises:
            ValueError: the events do not fit the description; nothing is written then.
        """
        from tsa_model.sequences.build import build_store

        description = DatasetDescription.load(dataset_description)
        build_store(events, description, Path(directory), preprocessing, engine)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: str | Path) -> SequenceStore:
        """Open a store after checking every byte of it.

        Raises:
            ValueError: a file is missing or damaged; the message names it.
        """
        manifest, digest = read_manifest(Path(directory))
        return cls(Path(directory), manifest, digest)

    def __len__(self) -> int:
        """Number of orders, targets or not."""
        return len(self._time_us)

    @property
    def n_embedding(self) -> int:
        """V, the last usable row of the embedding table."""
        return self.preprocessing.n_embedding

    @property
    def n_cat_features(self) -> int:
        """Fc, the known label included."""
        return len(self.preprocessing.categorical)

    @property
    def n_num_features(self) -> int:
        """Fn."""
        return len(self.preprocessing.numerical)

    @property
    def n_engineered(self) -> int:
        """Fe; 0 = the batches have no `x_engineered`."""
        return len(self.preprocessing.engineered)

    @property
    def seq_len(self) -> int:
        """L, orders per sequence, the current one included."""
        return self.description.seq_len

    @property
    def prior(self) -> float | None:
        """Share of fraud among the training targets before downsampling."""
        return self.manifest["prior"]

    @property
    def sampled_prior(self) -> float | None:
        """Share of fraud among the training targets as a model sees them."""
        return self.manifest["sampled_prior"]

    def targets(self, period: str) -> np.ndarray:
        """Row numbers of the labelled orders of a period ("train", …, "test"), in time order, [n] int32."""
        if period not in self._targets:
            raise ValueError(f"period {period!r} is not one of {', '.join(PERIODS)}")
        return self._targets[period]

    def order_ids(self, period: str) -> np.ndarray:
        """Order ids of `targets(period)`: int64, or text."""
        return self.ids_of(self.targets(period))

    def labels(self, period: str) -> np.ndarray:
        """Labels of `targets(period)`, [n] int64 of 0 and 1."""
        return self.labels_of(self.targets(period))

    def order_times(self, period: str) -> np.ndarray:
        """Order times of `targets(period)`, [n] datetime64[us], UTC."""
        return self.times_of(self.targets(period))

    def labels_of(self, rows: np.ndarray) -> np.ndarray:
        """Labels of row numbers, [n] int64; -1 = not known."""
        return self._label[rows].astype(np.int64)

    def times_of(self, rows: np.ndarray) -> np.ndarray:
        """Order times of row numbers, [n] datetime64[us], UTC."""
        return self._time_us[rows].view("datetime64[us]")

    def ids_of(self, rows: np.ndarray | slice) -> np.ndarray:
        """Order ids of row numbers: int64, or text."""
        ids = self._order_id[rows]
        return np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids

    def rows_of(self, order_ids: Sequence | np.ndarray) -> np.ndarray:
        """Row numbers of order ids, [n] int64.

        Raises:
            ValueError: an order id is not in the store.
        """
        if self._order_id.dtype.kind == "S":
            wanted = np.char.encode(np.asarray(order_ids).astype(np.str_), "utf-8")
        else:
            wanted = np.asarray(order_ids).astype(np.int64)
        place = np.searchsorted(self._order_id, wanted, sorter=self._by_order_id)
        rows = self._by_order_id[np.minimum(place, len(self) - 1)].astype(np.int64)
        absent = self._order_id[rows] != wanted
        if absent.any():
            missing = np.asarray(order_ids)[absent][0].item()
            raise ValueError(f"order id {missing!r} is not in {self.directory}")
        return rows

    def batch(
        self, order_ids: Sequence | np.ndarray, sequences: Literal["single", "dual"] | None = None
    ) -> dict[str, torch.Tensor]:
        """Assemble the batch of the given orders, in their order; see `batch_rows`."""
        return self.batch_rows(self.rows_of(order_ids), sequences)

    def batch_rows(
        self, rows: np.ndarray, sequences: Literal["single", "dual"] | None = None
    ) -> dict[str, torch.Tensor]:
        """Assemble the batch of the given row numbers, in their order.

        Args:
            rows: [B] row numbers; orders without a label get label -1.
            sequences: `single` = the customer's history alone; the default is all the store has.

        Returns:
            The dictionary a network takes (TSA spec, section 1), and `label` [B] int64.
        """
        import torch

        dual = len(self.keys) == 2 if sequences is None else sequences == "dual"
        if dual and len(self.keys) < 2:
            raise ValueError(f"{self.directory} has one key, {self.description.customer_id!r}: no dual batch")
        rows = np.asarray(rows, dtype=np.int64)
        batch: dict[str, np.ndarray] = {}
        if dual:
            for key in self.keys:
                cat, num, time_s, mask = self._gather(self._sequences[key], rows)
                batch[f"x_seq_cat_{key}"], batch[f"x_seq_num_{key}"] = cat, num
                batch[f"time_seq_{key}"], batch[f"key_padding_mask_{key}"] = time_s, mask
        else:
            cat, num, time_s, mask = self._gather(self._sequences[self.keys[0]], rows)
            batch = {"x_cat": cat, "x_num": num, "time_seq": time_s, "key_padding_mask": mask}
        if self.n_engineered:
            batch["x_engineered"] = np.take(self._engineered, rows, axis=0)
        batch["label"] = self._label[rows].astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _gather(self, source: _Sequences, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Slices → padded arrays: categorical, numerical, time, mask."""
        import torch

        padding = len(source.time_us) - 1
        index = source.end[rows].astype(np.int64)[:, None] + np.arange(1 - self.seq_len, 1)
        index[index < source.start[rows][:, None]] = padding
        index[:, -1] = source.position[rows]
        is_padding = index == padding
        delta_us = self._time_us[rows][:, None] - np.take(source.time_us, index)
        delta_us[is_padding] = 0

        x_cat = self._memory.empty((*index.shape, self.n_cat_features), np.int64)
        x_num = self._memory.empty((*index.shape, self.n_num_features), np.float32)
        # torch's gather uses every core; a block stays in the cache until it is widened to int64.
        flat = torch.from_numpy(index).view(-1)
        n_stored = source.categorical.shape[1]
        wide = torch.from_numpy(x_cat).view(-1, self.n_cat_features)[:, :n_stored]
        for part, into in zip(flat.split(BLOCK), wide.split(BLOCK), strict=True):
            into.copy_(torch.index_select(source.categorical_rows, 0, part))
        torch.index_select(source.numerical_rows, 0, flat, out=torch.from_numpy(x_num).view(flat.numel(), -1))
        if self._label_index is not None:
            x_cat[..., -1] = self._known_labels(source, index, delta_us, is_padding)
        mask = np.zeros((len(rows), self.seq_len + 1), dtype=bool)
        mask[:, :-1] = is_padding
        return x_cat, x_num, self._capped_seconds(delta_us)[..., None], mask

    def _known_labels(
        self, source: _Sequences, index: np.ndarray, delta_us: np.ndarray, is_padding: np.ndarray
    ) -> np.ndarray:
        """What was known of each order's label at the target's moment, as vocabulary indices."""
        assert self._label_index is not None
        known = delta_us >= round(self.description.label_delay_days * DAY_US)
        known[:, -1] = False  # the target's own label is never known, whatever the delay
        label = np.where(known, np.take(source.label, index), UNKNOWN_LABEL)
        return np.where(is_padding, 0, self._label_index[label - UNKNOWN_LABEL])

    def _capped_seconds(self, delta_us: np.ndarray) -> np.ndarray:
        time_s = delta_us / MICROSECONDS  # exact: subtracted as integers, far below 2**53
        if self.description.time_cap == "legacy":
            time_s[(time_s > MAX_TIME_S).any(axis=1)] = MAX_TIME_S
        else:
            np.minimum(time_s, MAX_TIME_S, out=time_s)
        return time_s.astype(np.float32)


def _tensor_over(array: np.ndarray) -> torch.Tensor:
    import torch

    with warnings.catch_warnings():
        # The file is mapped read-only, which torch cannot express; nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
