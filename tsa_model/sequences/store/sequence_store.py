"""SequenceStore: every event once per key order on disk; a batch is one gather away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tsa_model.batch import ENGINEERED, LABEL, history_names
from tsa_model.events.known_labels import delay_us
from tsa_model.memory import forget_pages
from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.sequences.store.gather import SequenceGather, SortedEvents
from tsa_model.sequences.store.storage import StoreManifest, read_manifest, read_npy
from tsa_model.settings.dataset import PERIODS, DatasetDescription

if TYPE_CHECKING:
    import torch

    from tsa_model.sequences.sorting.engine import EngineName


class SequenceStore:
    """Histories of orders by customer and by card, read from a folder made by `build`.

    A row number names an order: orders are numbered by (time, order id).
    """

    def __init__(self, directory: Path, manifest: StoreManifest, digest: str) -> None:
        self.directory = directory
        self.manifest = manifest
        self.digest = digest
        """Hex SHA-256 of the manifest, and so of everything in the store."""
        self.description = manifest.description
        self.preprocessing = Preprocessing.load(directory / "preprocessing.json")
        self.keys = manifest.keys
        self._sequences = {
            key: SortedEvents(
                **{
                    part.name: self._array(f"{key}_{part.name}")
                    for part in fields(SortedEvents)
                    if part.name != "known_us" or self.description.label_time is not None
                }
            )
            for key in self.keys
        }
        self._order_id = self._array("order_id")
        self._by_order_id = self._array("order_id_lookup")
        self._time_us = self._array("time_us")
        self._label = self._array("label")
        self._known_us = self._array("known_us") if self.description.label_time is not None else None
        self._engineered = self._array("engineered")
        self._targets = {period: self._array(f"targets_{period}") for period in PERIODS}
        self._gather = SequenceGather(self.description, self.preprocessing)

    def _array(self, name: str) -> np.ndarray:
        return read_npy(self.directory / f"{name}.npy")

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
        description = DatasetDescription.load(dataset_description)
        from tsa_model.sequences.store.building import build_store  # a database, which reading does without

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

    def forget_pages(self) -> None:
        """Let go of the pages of the store's files that this process has read; see `memory.forget_pages`."""
        of_keys = (vars(events)[part.name] for events in self._sequences.values() for part in fields(events))
        forget_pages(array for array in (*vars(self).values(), *of_keys) if isinstance(array, np.ndarray))

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
        return self.manifest.prior

    @property
    def sampled_prior(self) -> float | None:
        """Share of fraud among the training targets as a model sees them."""
        return self.manifest.sampled_prior

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

    def labels_known_us(self, rows: np.ndarray) -> np.ndarray:
        """From when on labels of row numbers are known, [n] int64 microseconds; of one not known yet too."""
        if self._known_us is None:
            return self._time_us[rows] + delay_us(self.description)
        return self._known_us[rows]

    def times_of(self, rows: np.ndarray) -> np.ndarray:
        """Order times of row numbers, [n] datetime64[us], UTC."""
        return self._time_us[rows].view("datetime64[us]")

    def ids_of(self, rows: np.ndarray | slice) -> np.ndarray:
        """Order ids of row numbers: int64, or text."""
        ids = self._order_id[rows]
        return np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids

    def history_lengths(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Earlier orders in the histories of row numbers, by key; each [n] int64, at most `seq_len` - 1."""
        earlier = self.earlier_orders(rows)
        return {key: np.minimum(number, self.seq_len - 1) for key, number in earlier.items()}

    def key_numbers(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """A number for each customer and card of row numbers, [n]; an order without one has its own."""
        return {key: events.start[rows].astype(np.int64) for key, events in self._sequences.items()}

    def earlier_orders(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """All strictly earlier orders of row numbers, by key; each [n] int64, beyond `seq_len` too."""
        return {
            key: events.end[rows].astype(np.int64) - events.start[rows]
            for key, events in self._sequences.items()
        }

    def own_values(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What orders say of themselves, encoded, without their histories.

        Args:
            rows: [n] row numbers.

        Returns:
            Category indices [n, Fc less the known label], and numerical and engineered values [n, Fn + Fe]
            float32.
        """
        events = self._sequences[self.keys[0]]
        place = events.position[rows]
        numbers = [events.numerical[place], *([self._engineered[rows]] if self.n_engineered else [])]
        return events.categorical[place], np.concatenate(numbers, axis=1)

    def earlier(self, row: int) -> dict[str, np.ndarray]:
        """Row numbers of the orders in an order's histories, by key, the latest first.

        Wide rows carry histories whose orders have no row of their own: those are empty here.
        """
        found = {}
        for key, events in self._sequences.items():
            end = int(events.end[row])
            first = max(int(events.start[row]), end - self.seq_len + 1)
            rows = np.flatnonzero((events.position >= first) & (events.position < end))
            rows = rows[np.argsort(-events.position[rows].astype(np.int64))]
            found[key] = rows if rows.size == end - first else rows[:0]
        return found

    def rows_of(self, order_ids: Sequence | np.ndarray) -> np.ndarray:
        """Row numbers of order ids, [n] int64.

        Raises:
            ValueError: an order id is not in the store.
        """
        given = np.asarray(order_ids)
        if self._order_id.dtype.kind == "S":
            wanted = np.char.encode(given.astype(np.str_), "utf-8")
        else:
            wanted = given.astype(np.int64)
        place = np.searchsorted(self._order_id, wanted, sorter=self._by_order_id)
        rows = self._by_order_id[np.minimum(place, len(self) - 1)].astype(np.int64)
        absent = self._order_id[rows] != wanted
        if given.dtype.kind == "f":
            absent |= given != wanted
        if absent.any():
            missing = given[absent][0].item()
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

        return {name: torch.from_numpy(array) for name, array in self.arrays(rows, sequences).items()}

    def arrays(
        self, rows: np.ndarray, sequences: Literal["single", "dual"] | None = None
    ) -> dict[str, np.ndarray]:
        """The same batch as arrays; torch is not loaded for it."""
        dual = len(self.keys) == 2 if sequences is None else sequences == "dual"
        if dual and len(self.keys) < 2:
            raise ValueError(f"{self.directory} has one key, {self.description.customer_id!r}: no dual batch")
        rows = np.asarray(rows, dtype=np.int64)
        now_us = self._time_us[rows]
        batch: dict[str, np.ndarray] = {}
        for key, names in zip(self.keys, history_names("dual" if dual else "single"), strict=False):
            batch |= zip(names, self._gather(self._sequences[key], rows, now_us), strict=True)
        if self.n_engineered:
            batch[ENGINEERED] = np.take(self._engineered, rows, axis=0)
        batch[LABEL] = self._label[rows].astype(np.int64)
        return batch
