"""The stage: validated events → the sequence store of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsa_model.sequences.store.building import build_store
from tsa_model.sequences.store.sequence_store import SequenceStore
from tsa_model.sequences.store.storage import events_digest
from tsa_model.settings.dataset import PERIODS
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
    build_store(events_path, run.dataset, Path(store_dir), None, run.engine, events_digest(events_path))
    store = SequenceStore.open(store_dir)
    n_targets = {f"{period}_targets": len(store.targets(period)) for period in PERIODS}
    return {
        "key_figure": f"{len(store):,} orders, {sum(n_targets.values()):,} targets",
        "orders": len(store),
        "quarantined": store.manifest.quarantined,
        **n_targets,
        "n_embedding": store.n_embedding,
        "train_positive_rate": store.prior,
        "train_positive_rate_sampled": store.sampled_prior,
        "store_digest": store.digest,
    }
