"""Rows of a sequence store through an ONNX session, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import LABEL, history_names, sequences_of
from tsa_model.export.session import by_length
from tsa_model.scoring.pairs import PairDigest

if TYPE_CHECKING:
    from tsa_model.export.session import ScoringSession
    from tsa_model.sequences import SequenceStore

WINDOW = 2048
"""Rows gathered at once, and sorted by history length."""
BATCH = 256
"""Rows the session sees at once."""
FORGOTTEN = 64 * WINDOW
"""After so many rows the store's files have been read nearly whole: what is in memory of them is let go."""

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
    pairs: str
    """Digest of (order id, score), taken from each output of the session as it came; see `PairDigest`."""

    @classmethod
    def joined(cls, parts: Sequence[ScoredRows]) -> ScoredRows:
        """Those of several stretches, one after the other."""
        gates = [part.gate for part in parts if part.gate is not None]
        return cls(
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.real_orders for part in parts]),
            np.concatenate(gates) if gates else None,
            PairDigest.joined(part.pairs for part in parts),
        )

    def check(self, store: SequenceStore, rows: NDArray[Any]) -> None:
        """Refuse what is no score.

        Raises:
            ValueError: a score is not a number in [0, 1].
        """
        is_usable = (self.score >= 0) & (self.score <= 1)
        if not is_usable.all():
            orders = store.ids_of(rows[~is_usable])
            raise ValueError(
                f"{orders.size} of {self.score.size} scores are not numbers in [0, 1], those of orders "
                f"{', '.join(map(str, orders[:5]))}: look for extreme numbers in them and in their "
                "histories; where there are none, the model is not usable"
            )


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
    scored = compute_rows(store, session, rows, progress)
    scored.check(store, rows)
    return scored


def compute_rows(
    store: SequenceStore, session: ScoringSession, rows: NDArray[Any], progress: Progress | None = None
) -> ScoredRows:
    """`score_rows` without a look at what came out."""
    sequences = sequences_of(session.input_names)
    score = np.empty(rows.size, np.float32)
    real_orders = np.empty((rows.size, len(history_names(sequences))), np.int16)
    gate = np.empty((rows.size, 2), np.float32) if sequences == "dual" else None
    pairs = PairDigest()
    for window, order_ids, under_way in _windows(store, session, rows, sequences, real_orders):
        for part, computed in under_way:
            outputs = computed.result()
            pairs.add(order_ids[part], outputs["score"])
            score[window][part] = outputs["score"]
            if gate is not None:
                gate[window][part] = outputs["gate_scores"]
        if progress is not None:
            progress(window.stop, rows.size)
    return ScoredRows(score, real_orders, gate, str(pairs))


class _Window(NamedTuple):
    """Neighbouring rows that are being computed."""

    rows: slice
    order_ids: NDArray[Any]
    under_way: list[tuple[NDArray[np.intp], Future[dict[str, NDArray[Any]]]]]
    """Places of each batch among the window's rows, and its outputs."""


def _windows(
    store: SequenceStore,
    session: ScoringSession,
    rows: NDArray[Any],
    sequences: Literal["single", "dual"],
    real_orders: NDArray[np.int16],
) -> Iterator[_Window]:
    """Gather each window while the one before it is computed, and fill in the lengths of its histories."""

    def compute(batch: dict[str, NDArray[Any]], part: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        return session.run({name: values[part] for name, values in batch.items()})

    before = None
    with ThreadPoolExecutor(WINDOW // BATCH) as pool:
        for start in range(0, rows.size, WINDOW):
            window = slice(start, min(start + WINDOW, rows.size))
            if start % FORGOTTEN == 0:
                store.forget_pages()
            batch = store.arrays(rows[window], sequences)
            del batch[LABEL]
            lengths = real_orders[window]
            for column, names in enumerate(history_names(sequences)):
                lengths[:, column] = (~batch[names.mask][:, :-1]).sum(axis=1)
            under_way = [(part, pool.submit(compute, batch, part)) for part in _batches(lengths)]
            if before is not None:
                yield before
            before = _Window(window, store.ids_of(rows[window]), under_way)
        if before is not None:
            yield before


def _batches(lengths: NDArray[np.int16]) -> Iterator[NDArray[np.intp]]:
    """The rows of a window, [W, histories] orders each, in batches of similar length."""
    in_order = np.lexsort(lengths.T)
    for first in range(0, in_order.size, BATCH):
        yield in_order[first : first + BATCH]


class SessionCalls(NamedTuple):
    """How `score_rows` hands N rows to ONNX Runtime."""

    call: NDArray[np.int64]
    """[N] the call in which each row is computed, counted from 0."""
    place: NDArray[np.int64]
    """[N] its place among the call's rows."""


def session_calls(lengths: NDArray[np.int16], seq_len: int, rows_per_call: int) -> SessionCalls:
    """Which rows share a call of ONNX Runtime.

    Args:
        lengths: [N, histories] orders in each history, the current one included, as the rows are scored.
        seq_len: L.
        rows_per_call: of the session.
    """
    call, place = np.empty((2, len(lengths)), np.int64)
    n_calls = 0
    for start in range(0, len(lengths), WINDOW):
        window = lengths[start : start + WINDOW]
        for part in _batches(window):
            if part.size > rows_per_call:
                part = part[by_length(list(seq_len - window[part].T))]
            nth = np.arange(part.size)
            call[start + part] = n_calls + nth // rows_per_call
            place[start + part] = nth % rows_per_call
            n_calls += -(-part.size // rows_per_call)
    return SessionCalls(call, place)
