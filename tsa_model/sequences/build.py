"""Raw events → a whole store, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tsa_model.dataset import PERIODS, DatasetDescription
from tsa_model.files import atomic_folder
from tsa_model.run_config import RunConfig
from tsa_model.sequences.columns import UNKNOWN_LABEL, EventColumns
from tsa_model.sequences.derived import add_derived_columns
from tsa_model.sequences.ingest import read_columns
from tsa_model.sequences.orderings import Ordering, order_by_key
from tsa_model.sequences.preprocessing import Preprocessing, fit
from tsa_model.sequences.storage import write_manifest, write_npy
from tsa_model.sequences.store import SequenceStore
from tsa_model.sequences.targets import Targets, select_targets

BLOCK_BYTES = 128 * 2**20


def build_sequences(events_path: str | Path, run: RunConfig, store_dir: str | Path) -> dict[str, Any]:
    """Build the sequence store of a run.

    Args:
        events_path: the validated events.
        run: the run description; its dataset section is used.
        store_dir: the folder to make.

    Returns:
        Counts for the stage table, `key_figure` among them.
    """
    store = SequenceStore.build(events_path, RunConfig.load(run).dataset, store_dir)
    n_targets = {f"{period}_targets": len(store.targets(period)) for period in PERIODS}
    return {
        "key_figure": f"{len(store):,} orders, {sum(n_targets.values()):,} targets",
        "orders": len(store),
        **n_targets,
        "n_embedding": store.n_embedding,
        "train_positive_rate": store.prior,
        "train_positive_rate_sampled": store.sampled_prior,
        "store_digest": store.digest,
    }


def build_store(
    events: Any,
    description: DatasetDescription,
    directory: Path,
    preprocessing: Preprocessing | Mapping | str | Path | None,
) -> None:
    """Write the store of `events` to `directory`; see `SequenceStore.build`."""
    columns = read_columns(events, description)
    with atomic_folder(directory) as folder:
        orderings = {name: order_by_key(key, columns.time_us) for name, key in columns.keys.items()}
        add_derived_columns(columns, orderings, description)
        fitted = fit(columns, description) if preprocessing is None else Preprocessing.load(preprocessing)
        fitted.check_covers(description)
        fitted.save(folder / "preprocessing.json")
        targets = select_targets(columns.time_us, columns.label, description)
        _write_orders(folder, columns, fitted, targets)
        for name, ordering in orderings.items():
            _write_ordering(folder, name, ordering, columns, fitted)
        write_manifest(folder, _manifest(columns, description, targets))


def _manifest(columns: EventColumns, description: DatasetDescription, targets: Targets) -> dict[str, Any]:
    return {
        "description": description.model_dump(mode="json"),
        "keys": list(columns.keys),
        "orders": len(columns),
        "labelled_orders": int(np.count_nonzero(columns.label != UNKNOWN_LABEL)),
        "targets": {period: len(rows) for period, rows in targets.rows.items()},
        "prior": targets.prior,
        "sampled_prior": targets.sampled_prior,
    }


def _write_orders(folder: Path, columns: EventColumns, fitted: Preprocessing, targets: Targets) -> None:
    """Write what belongs to an order itself, in chronological order."""
    _save(folder / "order_id.npy", columns.order_id)
    _save(folder / "order_id_lookup.npy", np.argsort(columns.order_id, kind="stable").astype(np.int32))
    _save(folder / "time_us.npy", columns.time_us)
    _save(folder / "label.npy", columns.label)
    for period, rows in targets.rows.items():
        _save(folder / f"targets_{period}.npy", rows)
    scaled = [_scaled(columns, name, one) for name, one in fitted.engineered.items()]
    every = np.arange(len(columns), dtype=np.int32)
    _write_matrix(folder / "engineered.npy", scaled, every, np.dtype(np.float32))


def _write_ordering(
    folder: Path, name: str, ordering: Ordering, columns: EventColumns, fitted: Preprocessing
) -> None:
    """Write one key order's files: a matrix per kind, time, label, and where each order's history lies."""
    index_dtype = np.dtype(np.int16 if fitted.n_embedding <= np.iinfo(np.int16).max else np.int32)
    categorical = [
        _encoded(columns, feature, one, index_dtype)
        for feature, one in fitted.categorical.items()
        if feature in columns.categorical
    ]
    numerical = [_scaled(columns, feature, one) for feature, one in fitted.numerical.items()]
    _write_matrix(folder / f"{name}_categorical.npy", categorical, ordering.rows, index_dtype, padding=1)
    _write_matrix(folder / f"{name}_numerical.npy", numerical, ordering.rows, np.dtype(np.float32), padding=1)
    _save(folder / f"{name}_time_us.npy", np.append(columns.time_us[ordering.rows], 0))
    _save(
        folder / f"{name}_label.npy", np.append(columns.label[ordering.rows], UNKNOWN_LABEL).astype(np.int8)
    )
    _save(folder / f"{name}_position.npy", ordering.position)
    _save(folder / f"{name}_start.npy", ordering.start)
    _save(folder / f"{name}_end.npy", ordering.end)


Column = Callable[[], np.ndarray]


def _encoded(columns: EventColumns, name: str, vocabulary: Any, dtype: np.dtype) -> Column:
    return lambda: vocabulary.encode(columns.categorical[name]).astype(dtype)


def _scaled(columns: EventColumns, name: str, scaling: Any) -> Column:
    return lambda: scaling.apply(columns.numerical[name]).astype(np.float32)


def _write_matrix(
    path: Path, make_columns: list[Column], rows: np.ndarray, dtype: np.dtype, padding: int = 0
) -> None:
    """Write columns side by side, row-major, in the order of `rows`, then `padding` rows of zeros."""
    columns = [make() for make in make_columns]

    def blocks() -> Iterator[np.ndarray]:
        size = max(1, BLOCK_BYTES // max(1, len(columns) * dtype.itemsize))
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            block = np.empty((len(part), len(columns)), dtype=dtype)
            for place, column in enumerate(columns):
                block[:, place] = column[part]
            yield block
        yield np.zeros((padding, len(columns)), dtype=dtype)

    write_npy(path, blocks(), (len(rows) + padding, len(columns)), dtype)


def _save(path: Path, array: np.ndarray) -> None:
    write_npy(path, [array], array.shape, array.dtype)
