"""Raw events → a whole store, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tsa_model.dataset import PERIODS, DatasetDescription
from tsa_model.files import atomic_folder
from tsa_model.run_config import RunConfig
from tsa_model.sequences.columns import UNKNOWN_LABEL, EventColumns
from tsa_model.sequences.derived import add_calendar_columns, add_window_columns
from tsa_model.sequences.ingest import ingest
from tsa_model.sequences.orderings import order_by_key
from tsa_model.sequences.preprocessing import Preprocessing, fit
from tsa_model.sequences.quarantine import QUARANTINE
from tsa_model.sequences.spill import ColumnFiles
from tsa_model.sequences.storage import write_array, write_manifest, write_npy
from tsa_model.sequences.store import SequenceStore
from tsa_model.sequences.targets import Targets, select_targets

BLOCK_BYTES = 64 * 2**20


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
        "quarantined": store.manifest["quarantined"],
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
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_folder(directory) as folder,
        TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as work,
    ):
        ingested = ingest(events, description, Path(work), folder / QUARANTINE)
        columns, files = ingested.columns, ColumnFiles(Path(work) / "derived")
        add_calendar_columns(columns, description, files)
        for name, key in columns.keys.items():
            ordering = order_by_key(key, columns.time_us)
            for part in ("position", "start", "end"):
                write_array(folder / f"{name}_{part}.npy", getattr(ordering, part))
            files.put(f"rows_{name}", ordering.rows)
            add_window_columns(columns, name, ordering, description, files)
            del ordering  # hundreds of megabytes, when there are tens of millions of events

        fitted = fit(columns, description) if preprocessing is None else Preprocessing.load(preprocessing)
        fitted.check_covers(description)
        fitted.save(folder / "preprocessing.json")
        targets = select_targets(columns.time_us, columns.label, description)
        _write_orders(folder, columns, targets)
        _write_matrices(folder, columns, fitted, files)
        write_manifest(folder, _manifest(columns, description, targets, ingested.n_quarantined))


def _manifest(
    columns: EventColumns, description: DatasetDescription, targets: Targets, n_quarantined: int
) -> dict[str, Any]:
    return {
        "description": description.model_dump(mode="json"),
        "keys": list(columns.keys),
        "orders": len(columns),
        "labelled_orders": int(np.count_nonzero(columns.label != UNKNOWN_LABEL)),
        "quarantined": n_quarantined,
        "targets": {period: len(rows) for period, rows in targets.rows.items()},
        "prior": targets.prior,
        "sampled_prior": targets.sampled_prior,
    }


def _write_orders(folder: Path, columns: EventColumns, targets: Targets) -> None:
    """Write what belongs to an order itself, in chronological order."""
    write_array(folder / "order_id.npy", columns.order_id)
    lookup = np.argsort(columns.order_id, kind="stable").astype(np.int32)
    write_array(folder / "order_id_lookup.npy", lookup)
    write_array(folder / "time_us.npy", columns.time_us)
    write_array(folder / "label.npy", columns.label)
    for period, rows in targets.rows.items():
        write_array(folder / f"targets_{period}.npy", rows)


def _write_matrices(folder: Path, columns: EventColumns, fitted: Preprocessing, files: ColumnFiles) -> None:
    """Write the model's inputs: engineered in chronological order, the others once per key order."""
    index_dtype = np.dtype(np.int16 if fitted.n_embedding <= np.iinfo(np.int16).max else np.int32)
    categorical: list[str] = []
    numerical: list[str] = []
    engineered: list[str] = []
    for feature, vocabulary in fitted.categorical.items():
        if feature in columns.categorical:  # the known label is decided per target, not stored
            categorical.append(f"index_{feature}")
            files.put(categorical[-1], vocabulary.encode(columns.categorical[feature]).astype(index_dtype))
    for role, names in (("numerical", numerical), ("engineered", engineered)):
        for feature, scaling in getattr(fitted, role).items():
            names.append(f"{role}_{feature}")
            files.put(names[-1], scaling.apply(columns.numerical[feature]).astype(np.float32))

    every = np.arange(len(columns), dtype=np.int32)
    _write_matrix(folder / "engineered.npy", files, engineered, every, np.dtype(np.float32), padding=0)
    for key in columns.keys:
        rows = files.read(f"rows_{key}")
        _write_matrix(folder / f"{key}_categorical.npy", files, categorical, rows, index_dtype)
        _write_matrix(folder / f"{key}_numerical.npy", files, numerical, rows, np.dtype(np.float32))
        write_array(folder / f"{key}_time_us.npy", np.append(columns.time_us[rows], 0))
        label = np.append(columns.label[rows], np.int8(UNKNOWN_LABEL))
        write_array(folder / f"{key}_label.npy", label)


def _write_matrix(
    path: Path, files: ColumnFiles, names: list[str], rows: np.ndarray, dtype: np.dtype, padding: int = 1
) -> None:
    """Write columns side by side, row-major, in the order of `rows`, then `padding` rows of zeros."""

    def blocks() -> Iterator[np.ndarray]:
        size = max(1, BLOCK_BYTES // max(1, len(names) * dtype.itemsize))
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            block = np.empty((len(part), len(names)), dtype=dtype)
            for place, name in enumerate(names):
                block[:, place] = files.read(name)[part]  # mapped for this moment only
            yield block
        yield np.zeros((padding, len(names)), dtype=dtype)

    write_npy(path, blocks(), (len(rows) + padding, len(names)), dtype)
