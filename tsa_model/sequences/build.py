"""Raw events → a whole store, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsa_model.events.quarantine import QUARANTINE
from tsa_model.files import atomic_folder
from tsa_model.sequences.engine import EngineName
from tsa_model.sequences.event_log import prepare_event_log
from tsa_model.sequences.preprocessing import Preprocessing, fit
from tsa_model.sequences.spill import ColumnFiles
from tsa_model.sequences.store import SequenceStore
from tsa_model.sequences.wide_log import prepare_wide_log
from tsa_model.sequences.writing import write_store
from tsa_model.settings.dataset import PERIODS, DatasetDescription
from tsa_model.settings.run import RunConfig


def build_sequences(events_path: str | Path, run: RunConfig, store_dir: str | Path) -> dict[str, Any]:
    """Build the sequence store of a run.

    Args:
        events_path: the validated events.
        run: the run description; its dataset section is used.
        store_dir: the folder to make.

    Returns:
        Counts for the stage table, `key_figure` among them.
    """
    run = RunConfig.load(run)
    store = SequenceStore.build(events_path, run.dataset, store_dir, engine=run.engine)
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
    engine: EngineName,
) -> None:
    """Write the store of `events` to `directory`; see `SequenceStore.build`."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_folder(directory) as folder,
        TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as work,
    ):
        files = ColumnFiles(Path(work) / "columns")
        if description.layout == "wide":
            prepared = prepare_wide_log(events, description, files, folder / QUARANTINE)
        else:
            prepared = prepare_event_log(
                events, description, files, Path(work) / "engine", folder / QUARANTINE, engine
            )
        if preprocessing is None:
            fitted = fit(prepared.orders, description)
        else:
            fitted = Preprocessing.load(preprocessing)
        fitted.check_covers(description)
        write_store(folder, prepared, description, fitted, files)
