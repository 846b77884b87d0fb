"""Number of rows each check gets. A large network gets fewer, because its reference is slow."""

from __future__ import annotations

from dataclasses import dataclass

from tsa_model.settings.model import ModelConfig

LARGE = 5_000_000
"""Multiplications a row from which a network counts as large; the default configuration has 50 million."""


@dataclass(frozen=True)
class Effort:
    """Numbers of rows.

    Attributes:
        real_rows: real orders in the sample. Together with the edge cases they are more than 128, and no
            multiple of 128, so that a computation in pieces of such a size is tried with an uneven rest.
        traced_rows: rows whose layers are compared too, edge cases included.
        training_rows: rows of a training batch.
        training_steps: optimiser steps.
        decision_rows: rows on which decisions are compared.
        copies: how often the traced rows are repeated for a batch too large to be handled in one piece.
    """

    real_rows: int
    traced_rows: int
    training_rows: int
    training_steps: int
    decision_rows: int
    copies: int


SMALL_NETWORK = Effort(200, 48, 24, 5, 2048, 24)
LARGE_NETWORK = Effort(130, 28, 10, 3, 512, 3)


def effort_for(config: ModelConfig) -> Effort:
    """The effort for a network of this size."""
    D = config.dim_embedding_table
    tokens = config.n_cat_features + config.n_num_features + config.n_engineered_num_features
    order = config.n_layers_order * config.seq_len * (2 * D) ** 2 * (1 + (config.sequences == "dual"))
    feature = config.n_layers_feature * tokens * D**2
    return LARGE_NETWORK if order + feature > LARGE else SMALL_NETWORK
