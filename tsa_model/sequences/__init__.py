"""Sequences: raw events in, padded histories out."""

from tsa_model.sequences.build import build_sequences
from tsa_model.sequences.preprocessing import Preprocessing
from tsa_model.sequences.store import SequenceStore

__all__ = ["Preprocessing", "SequenceStore", "build_sequences"]
