"""Shapley values of a small game, exactly or from walks through random orders of its players.

A game gives every coalition of its p players a value; a player's Shapley value is what the player adds to the
coalition of those before it, on average over all orders in which the players may come (Shapley 1953).
"""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_EXACT = 10
"""Players of a game of which all 2^p coalitions are computed."""


class Values(NamedTuple):
    """Shapley values of p players."""

    value: NDArray[np.float64]
    """[p]; they add up to the value of all players minus that of none."""
    error: NDArray[np.float64]
    """[p] standard errors; 0 where the values are exact."""


def all_coalitions(p: int) -> NDArray[np.bool_]:
    """Every coalition, bool [2^p, p]: player i is in coalition k where bit i of k is set."""
    return (np.arange(2**p)[:, None] >> np.arange(p) & 1).astype(bool)


def exact(worth: NDArray[np.float64]) -> Values:
    """Shapley values from the worth of every coalition.

    Args:
        worth: [2^p] in the sequence of `all_coalitions`.
    """
    p = int(worth.size).bit_length() - 1
    assert worth.size == 2**p
    number = np.arange(2**p)
    size = all_coalitions(p).sum(axis=1)
    weight = np.array([factorial(s) * factorial(p - s - 1) / factorial(p) for s in range(p)])
    value = np.empty(p)
    for player in range(p):
        without = number[number >> player & 1 == 0]
        gain = worth[without | 1 << player] - worth[without]
        value[player] = (weight[size[without]] * gain).sum()
    return Values(value, np.zeros(p))


def random_walks(p: int, pairs: int, seed: int) -> NDArray[np.int64]:
    """Orders of the players, [2 · pairs, p]; every second one is the one before it turned round.

    What a player adds early and what it adds late err in opposite directions, so a pair's mean varies less.
    """
    drawn = np.random.default_rng(seed)
    forward = np.stack([drawn.permutation(p) for _ in range(pairs)])
    return np.stack([forward, forward[:, ::-1]], axis=1).reshape(2 * pairs, p)


def walked_coalitions(walks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The coalitions along each walk, from none to all, bool [walks, p + 1, p]."""
    place = np.argsort(walks, axis=1)
    return place[:, None, :] < np.arange(walks.shape[1] + 1)[None, :, None]


def sampled(worth: NDArray[np.float64], walks: NDArray[np.int64]) -> Values:
    """Shapley values from the worth of the coalitions along walks.

    Args:
        worth: [walks, p + 1], of `walked_coalitions`.
        walks: [walks, p] from `random_walks`.
    """
    gain = np.empty(walks.shape)
    np.put_along_axis(gain, walks, np.diff(worth, axis=1), axis=1)
    pair = gain.reshape(-1, 2, walks.shape[1]).mean(axis=1)
    spread = pair.std(axis=0, ddof=1) if len(pair) > 1 else np.full(pair.shape[1], np.nan)
    return Values(pair.mean(axis=0), spread / np.sqrt(len(pair)))


def joined(parts: NDArray[np.float64], whole: float) -> NDArray[np.float64]:
    """Parts that add up to another whole: what is missing is shared in proportion to their sizes.

    Equal parts stay equal and a part of nothing stays nothing, unless all are nothing: then they share alike.
    """
    missing, size = whole - parts.sum(), np.abs(parts)
    if not size.sum() > 0:
        return np.full(parts.size, whole / max(parts.size, 1))
    return parts + missing * size / size.sum()
