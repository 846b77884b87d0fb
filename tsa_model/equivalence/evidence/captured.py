"""The rows on which a legacy model is captured."""

from __future__ import annotations

from pathlib import Path

from tsa_model.batch import Batch
from tsa_model.equivalence.evidence.generated import ragged_rows
from tsa_model.equivalence.evidence.sample import make_sample, sample_store
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig


def rows_to_capture(config: ModelConfig, store_dir: str | Path | None, n_rows: int, seed: int) -> Batch:
    """Real orders of a store or generated rows, and the edge cases.

    Args:
        config: the TSA configuration that describes the legacy model.
        store_dir: a sequence store; None = generated rows.
        n_rows: how many rows besides the edge cases.
        seed: of the generated rows.
    """
    if store_dir:
        return sample_store(SequenceStore.open(store_dir), config, n_rows).batch
    rows = ragged_rows(config, n_rows, seed)
    names = [f"generated {i}" for i in range(n_rows)]
    return make_sample(rows, names, config, n_real=n_rows).batch
