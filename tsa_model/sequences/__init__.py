"""Sequences: raw events in, padded histories out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.events.errors import BadEvents
    from tsa_model.sequences.build import build_sequences
    from tsa_model.sequences.dense import batch_from_arrays, generate_padding_mask
    from tsa_model.sequences.features.preprocessing import Preprocessing
    from tsa_model.sequences.store.sequence_store import SequenceStore
    from tsa_model.sequences.wide_rows import parse_wide_rows

__all__ = [
    "BadEvents",
    "Preprocessing",
    "SequenceStore",
    "batch_from_arrays",
    "build_sequences",
    "generate_padding_mask",
    "parse_wide_rows",
]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.events.errors": ("BadEvents",),
        "tsa_model.sequences.build": ("build_sequences",),
        "tsa_model.sequences.dense": ("batch_from_arrays", "generate_padding_mask"),
        "tsa_model.sequences.features.preprocessing": ("Preprocessing",),
        "tsa_model.sequences.store.sequence_store": ("SequenceStore",),
        "tsa_model.sequences.wide_rows": ("parse_wide_rows",),
    },
)
