"""Rows of a sequence store through an ONNX session, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import LABEL, history_names, sequences_of

if TYPE_CHECKING:
    from tsa_model.export.session import ScoringSession
    from tsa_model.sequences import SequenceStore

WINDOW = 2048
"""Rows gathered at once, and sorted by history length."""
BATCH = 256
"""Rows the session sees at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoredRows:
    """The model's outputs for N orders, in the sequence in which they were asked for."""

    score: NDArray[np.float32]
    """[N] in [0, 1]."""
    real_orders: NDArray[np.int16]
    """[N, histories] orders in each history, the current one included."""
    gate: NDArray[np.float32] | None
    """[N, 2] weight of the customer's and the card's history; None for one history."""


def score_rows(
    store: SequenceStore, session: ScoringSession, rows: NDArray[Any], progress: Progress | None = None
) -> ScoredRows:
    """Score orders by their row numbers.

    Orders with histories of similar length share a batch, because the session leaves out padding that rows
    share. A score does not depend on its batch (beyond rounding).

    Args:
        store: the sequence store.
        session: the exported model.
        rows: [N] row numbers.
        progress: called with (rows done, rows altogether).

    Raises:
        ValueError: a score is not a number in [0, 1].
    """
    sequences = sequences_of(session.input_names)
    histories = history_names(sequences)
    score = np.empty(rows.size, np.float32)
    real_orders = np.empty((rows.size, len(histories)), np.int16)
    gate = np.empty((rows.size, 2), np.float32) if sequences == "dual" else None
    for start in range(0, rows.size, WINDOW):
        window = slice(start, min(start + WINDOW, rows.size))
        tensors = store.batch_rows(rows[window], sequences)
        batch = {name: tensor.numpy() for name, tensor in tensors.items() if name != LABEL}
        lengths = real_orders[window]
        for column, names in enumerate(histories):
            lengths[:, column] = (~batch[names.mask][:, :-1]).sum(axis=1)
        by_length = np.lexsort(lengths.T)
        for first in range(0, by_length.size, BATCH):
            part = by_length[first : first + BATCH]
            outputs = session.run({name: values[part] for name, values in batch.items()})
            score[window][part] = outputs["score"]
            if gate is not None:
                gate[window][part] = outputs["gate_scores"]
        if progress is not None:
            progress(window.stop, rows.size)
    is_usable = (score >= 0) & (score <= 1)
    if not is_usable.all():
        orders = store.ids_of(rows[~is_usable])
        raise ValueError(
            f"{orders.size} of {score.size} scores are not numbers in [0, 1], those of orders "
            f"{', '.join(map(str, orders[:5]))}: look for extreme numbers in them and in their histories; "
            "where there are none, the model is not usable"
        )
    return ScoredRows(score, real_orders, gate)
