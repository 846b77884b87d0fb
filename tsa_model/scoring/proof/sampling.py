"""Which orders are recomputed: some of every kind, chosen by a hash that the files themselves decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsa_model.scoring.pairs import hashed_ids
from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.rows import WINDOW, SessionCalls, session_calls

LENGTH_BOUNDS = (1, 2, 5, 20)
"""Histories of up to so many orders are kinds of their own; so are longer and full ones."""
PER_KIND = 2
SEED_DIGITS = 16


@dataclass(frozen=True)
class Candidates:
    """One period's orders, and what kinds they are of."""

    file: ScoreFile
    lengths: NDArray[np.int16]
    """[N, histories] orders in each history, the current one included."""
    calls: SessionCalls
    seq_len: int

    @classmethod
    def of(cls, file: ScoreFile, lengths: NDArray[np.int16], seq_len: int, rows_per_call: int) -> Candidates:
        """The candidates of a period; see `session_calls` for the arguments."""
        return cls(file, lengths, session_calls(lengths, seq_len, rows_per_call), seq_len)


def ranks(file: ScoreFile, seed: str) -> NDArray[np.uint64]:
    """A number of each order that nobody can foresee before the files are written, [N].

    Args:
        file: the orders.
        seed: hexadecimal digest of the score files, so that other scores are checked on other orders.
    """
    return hashed_ids(file.order_id, int(seed[:SEED_DIGITS], 16))


def choose_orders(candidates: list[Candidates], n: int, seed: str) -> list[NDArray[np.int64]]:
    """Choose orders to recompute.

    First come the ends of every file and of its windows and calls, then some of each kind of history and
    label, then orders at the edges of calls and any orders in turn, lowest hash first.

    Args:
        candidates: the periods.
        n: how many to choose in all; every period gets its share.
        seed: see `ranks`.

    Returns:
        Per period, places in its file, ascending.
    """
    share = -(-n // max(1, len(candidates)))
    return [_choose(one, min(share, len(one.file)), ranks(one.file, seed)) for one in candidates]


def witnesses(candidates: Candidates, seed: str) -> NDArray[np.int64]:
    """One order of every call of the session, by hash; places in the file, in the order of the hash."""
    if not len(candidates.file):
        return np.empty(0, np.int64)
    rank = ranks(candidates.file, seed)
    by_call = np.lexsort((rank, candidates.calls.call))
    call = candidates.calls.call[by_call]
    first = by_call[np.append(True, call[1:] != call[:-1])]
    return first[np.argsort(rank[first])]


def _choose(one: Candidates, n: int, rank: NDArray[np.uint64]) -> NDArray[np.int64]:
    by_rank = np.argsort(rank)
    at_edge = by_rank[_is_edge(one)[by_rank]]
    both = np.column_stack([at_edge, by_rank[: len(at_edge)]]).ravel()
    wanted = np.concatenate([_ends(one), _of_every_kind(one, by_rank), both, by_rank])
    _, first = np.unique(wanted, return_index=True)
    return np.sort(wanted[np.sort(first)[:n]])


def _ends(one: Candidates) -> NDArray[np.int64]:
    """The ends of the file, of its first and last window, and of the first and last call."""
    last, (call, place) = len(one.file) - 1, one.calls
    start_of_last = last // WINDOW * WINDOW
    found = [0, last, min(WINDOW, last + 1) - 1, min(WINDOW, last), start_of_last, max(0, start_of_last - 1)]
    for each in (0, int(call.max())):
        rows = np.flatnonzero(call == each)
        found += [int(rows[place[rows].argmin()]), int(rows[place[rows].argmax()])]
    return np.array(found)


def _is_edge(one: Candidates) -> NDArray[np.bool_]:
    """The first and the last row of every call, [N]."""
    call, place = one.calls
    largest = np.zeros(int(call.max()) + 1, np.int64)
    np.maximum.at(largest, call, place)
    return (place == 0) | (place == largest[call])


def _of_every_kind(one: Candidates, by_rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some orders of each combination of history lengths and label, one of each kind in turn."""
    kind = one.file.label + 1
    for lengths in one.lengths.T:
        bounds = np.searchsorted(LENGTH_BOUNDS, lengths, side="left")
        kind = kind * 8 + np.where(lengths >= one.seq_len, 7, bounds)
    in_turn = np.argsort(kind[by_rank], kind="stable")
    sorted_kind = kind[by_rank][in_turn]
    starts = np.flatnonzero(np.append(True, sorted_kind[1:] != sorted_kind[:-1]))
    nth = np.arange(len(kind)) - np.repeat(starts, np.diff(np.append(starts, len(kind))))
    chosen = by_rank[in_turn[nth < PER_KIND]]
    return chosen[np.argsort(nth[nth < PER_KIND], kind="stable")]
