"""A stand-in: the same architecture in sizes that cost little, for batches as large as the run's own.

A reference of full size needs memory that grows with the square of the batch. What depends on the number of
rows or tokens does not depend on widths, so it is compared on narrow networks, with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tsa_model.batch import Batch, history_names
from tsa_model.equivalence.evidence.generated import random_rows
from tsa_model.equivalence.evidence.networks import Networks, has_capacity
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.network.fast.form import fast_in_pieces
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.implementation import Implementation
from tsa_model.network.networks import build_network
from tsa_model.network.static.form import STATIC
from tsa_model.settings.model import ModelConfig

RATE = 0.25
"""Dropout of a stand-in, whatever the run's: a run without dropout today may have it tomorrow."""
ONE_HOT_ELEMENTS = 4_000_000
"""Tokens of a row times the square of the rows, at most: of the reference's one-hot tensors 80 %."""
FEWEST_TOKENS = 3
"""Of a history: two orders and the dummy token."""
EVALUATED_ROWS = 1_999
"""Rows of the largest evaluation batch. A prime: no piece size divides it."""
MOST_TRAINED_ROWS = 4_999
"""Rows of the largest training batch, where a run has so many and no rows queue for experts."""
DISTINCT_ROWS = 199
"""Different rows among them."""
FEW_ROWS = 17
"""Rows of the batch that is cut in several ways: another prime, and more pieces than the default
configuration's training batch of 1024 rows makes (13)."""


def stand_in_config(config: ModelConfig, rows: int) -> ModelConfig:
    """The same architecture, narrow, with histories as long as a batch of `rows` allows."""
    heads = min(config.num_heads, 2)
    n_features = 1 if rows > DISTINCT_ROWS else 3
    sizes = {
        "n_cat_features": min(config.n_cat_features, n_features),
        "n_num_features": min(config.n_num_features, n_features),
        "n_embedding": 20,
        "n_engineered_num_features": min(config.n_engineered_num_features, n_features),
        "dim_embedding_table": 4 * heads,
        "num_heads": heads,
        "dim_attn_feedforward": 8,
        "n_layers_order": min(config.n_layers_order, 2),
        "n_layers_feature": min(config.n_layers_feature, 2),
        "gate_embedding_dim": 4,
        "gate_hidden_dim": 8,
        "gate_feedforward_dim": 8,
        "gate_layers": 1,
        "boosted_trees": min(config.boosted_trees, 3),
        "tree_leaves": min(config.tree_leaves, 6),
        "tree_depth": min(config.tree_depth, 4),
        "dropout": RATE,
        "moe_eval": "deterministic",
        "seq_len": min(config.seq_len, max(FEWEST_TOKENS, ONE_HOT_ELEMENTS // rows**2) - 1),
    }
    return config.changed(**sizes)


def training_rows(config: ModelConfig, batch_size: int) -> int:
    """Rows of the stand-in's training batch: the run's own, as far as queues for experts allow."""
    if not has_capacity(config):
        return min(batch_size, MOST_TRAINED_ROWS)
    return min(batch_size, int((ONE_HOT_ELEMENTS / FEWEST_TOKENS) ** 0.5))


def stand_in(config: ModelConfig, seed: int) -> Networks:
    """Both networks of a stand-in's configuration, with probe weights, in evaluation mode."""
    return Networks.of(with_probe_weights(build_network(config, "fast").eval(), seed))


def stand_in_rows(config: ModelConfig, n: int, seed: int) -> Batch:
    """Rows of every history length from 1 to seq_len."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [
        (1 + torch.randint(0, config.seq_len, (n,), generator=generator)).tolist()
        for _ in history_names(config.sequences)
    ]
    return random_rows(config, lengths, seed)


def other_computations(config: ModelConfig, rows: int) -> dict[str, Implementation]:
    """Name → every other way in which a run may compute a batch of `rows`, which must give the same numbers.

    The fast form with other pieces, and the form for accelerators. That one is compared here, on a processor:
    which device a run trains on is not known to the gate.
    """
    cut = {name: fast_in_pieces(sizes) for name, sizes in uneven_pieces(config, rows).items()}
    return {**cut, "form for accelerators": STATIC}


def uneven_pieces(config: ModelConfig, rows: int) -> dict[str, PieceSizes]:
    """Name → piece sizes that cut a float64 batch of `rows`: row by row, and unevenly.

    The default sizes leave so few narrow rows in one piece.
    """
    row_bytes = (config.seq_len + 1) * 2 * config.dim_embedding_table * 8
    order_elements = config.n_cat_features * config.dim_embedding_table
    return {
        "pieces of one row": PieceSizes(row_bytes, order_elements, at_once=1, dense_work=0),
        "pieces of up to 5 rows": PieceSizes(5 * row_bytes, 13 * order_elements, at_once=3, dense_work=0),
        "two uneven pieces": PieceSizes((rows - 1) * row_bytes, rows * order_elements, at_once=1),
    }


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute with `n` threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
