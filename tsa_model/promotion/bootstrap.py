"""Paired bootstrap: how sure the difference of two models on the same orders is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.evaluation.intervals import Interval
from tsa_model.evaluation.metrics import Ranking, auc, average_precision

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FIGURES = {"auc": auc, "average_precision": average_precision}
TOO_FEW = 10
"""With fewer frauds or genuine orders than this, the bounds allow for one unseen order of each class."""
WEIGHTS_AT_ONCE = 1_000_000
"""Resampled weights held in memory at a time: 8 MB."""

FloatArray = NDArray[np.float64]


def paired_differences(
    label: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Bootstrap the difference of each figure, both models on the same resampled orders.

    What makes a set of orders easy or hard does so for both models and cancels out, which is why the interval
    is much narrower than those of the two figures.

    A bootstrap knows no orders but those it has seen: over one fraud it has no spread at all, over a handful
    it is far too narrow. With fewer than 10 frauds or genuine orders the bounds come from a Bayesian
    bootstrap that counts one unseen order more of each class. For the lower bound they are the worst for the
    challenger: a fraud that it ranks last and the champion first, a genuine order that it ranks first and the
    champion last. For the upper bound they are the best. Among k frauds the unseen one has a weight of
    1 / (k + 1) on average, more in some resamples.

    The area under the ROC curve is a mean over the frauds of a value between 0 and 1. Its bound is therefore
    the one of Gaffke (2005) and of Learned-Miller and Thomas (2019) for the mean of a bounded variable: no
    distribution is known for which it covers less often than it says, and where frauds are only ranked first
    or last it is the exact bound of Clopper and Pearson. Two models that rank each of k frauds alike are only
    shown to differ by less than 1 - ((1 - confidence) / 2)^(1 / k): by 0.34 with 9 frauds at 95 %, by 0.975
    with one. No such interval is narrow enough for a margin, so the champion stays.

    From 10 on the bounds are plain percentiles. Between 10 and some 50 they are a little too narrow, as every
    bootstrap is: a challenger that is worse by just the margin passes more often than the confidence says,
    one that is clearly worse does not (`benchmarks/promotion.py` measures both).

    Args:
        label: [N] 0 or 1, both present.
        challenger: [N] its scores.
        champion: [N] its scores of the same orders.
        confidence: share of the distribution inside the interval.
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        Figure → challenger − champion, with its interval.

    Raises:
        ValueError: all labels are equal.
    """
    new, old = Ranking(challenger, label), Ranking(champion, label)
    whole = new.counts(), old.counts()
    values = {name: float(figure(*whole[0]) - figure(*whole[1])) for name, figure in FIGURES.items()}
    if np.array_equal(challenger, champion):
        return {name: Interval(value, value, value) for name, value in values.items()}
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    generator = np.random.default_rng(seed)
    if min(new.n_frauds, new.n_genuine) >= TOO_FEW:
        bounds = _bounds(new, old, tails, resamples, generator)
    else:
        bounds = _cautious_bounds(label, challenger, champion, tails, resamples, generator)
    # The value itself is always possible, also where a few resamples miss it.
    return {
        name: Interval(value, min(value, bounds[name][0]), max(value, bounds[name][1]))
        for name, value in values.items()
    }


def _bounds(
    new: Ranking, old: Ranking, tails: list[float], resamples: int, generator: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Percentiles of the differences when each order is drawn Poisson(1) times."""
    pair = RankedPair(new, old)
    size = new.order.size
    blocks = (
        pair.differences(by_order(generator.poisson(1.0, (n, size)))) for n in block_sizes(resamples, size)
    )
    return {name: (float(q[0]), float(q[1])) for name, q in _quantiles(blocks, tails).items()}


def _cautious_bounds(
    label: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    tails: list[float],
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Percentiles with one unseen order of each class, the worst for the lower and the best for the upper."""
    labels, rank_new, rank_old, count = _merged(
        np.asarray(label), np.asarray(challenger), np.asarray(champion)
    )
    first, last = max(rank_new.max(), rank_old.max()) + 1, -1
    labels, count = np.append(labels, [1, 0]), np.append(count, [1, 1])
    good, bad = [first, last], [last, first]  # of the unseen fraud and the unseen genuine order
    worst = RankedPair(Ranking(np.append(rank_new, bad), labels), Ranking(np.append(rank_old, good), labels))
    best = RankedPair(Ranking(np.append(rank_new, good), labels), Ranking(np.append(rank_old, bad), labels))
    low: list[dict[str, FloatArray]] = []
    high: list[dict[str, FloatArray]] = []
    for n in block_sizes(resamples, count.size):
        weight = by_order(generator.standard_gamma(count, (n, count.size)))
        low.append(worst.differences(weight))
        high.append(best.differences(weight))
    lower, upper = _quantiles(iter(low), tails), _quantiles(iter(high), tails)
    return {name: (float(lower[name][0]), float(upper[name][1])) for name in FIGURES}


def _merged(
    label: NDArray[np.int64], challenger: FloatArray, champion: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Merge genuine orders that lie between the same frauds for both models: no figure tells them apart.

    Returns:
        Label, rank of the challenger's score, rank of the champion's and number of orders, each [n groups].
    """
    is_fraud = label == 1
    ranks = []
    for score in (challenger, champion):
        frauds = np.unique(score[is_fraud])
        # Even between two frauds' scores, odd at one of them.
        ranks.append(np.searchsorted(frauds, score, "left") + np.searchsorted(frauds, score, "right"))
    pair = ranks[0] * (ranks[1].max() + 1) + ranks[1]
    _, one_of, count = np.unique(pair[~is_fraud], return_index=True, return_counts=True)
    kept = np.append(np.flatnonzero(is_fraud), np.flatnonzero(~is_fraud)[one_of])
    counts = np.append(np.ones(is_fraud.sum(), np.int64), count)
    return label[kept], ranks[0][kept], ranks[1][kept], counts


class RankedPair:
    """Two models' rankings of the same orders, whose figures are taken for many weights at once.

    Genuine orders between the scores of two frauds enter each figure by the sum of their weights alone. These
    sums are one sparse product for all weights.

    Args:
        new: the challenger's ranking.
        old: the champion's, of the same orders.
        members: [N] places of these orders among all that weights are given for; None = they are all.
        n_all: number of the latter.
    """

    def __init__(
        self, new: Ranking, old: Ranking, members: NDArray[np.intp] | None = None, n_all: int | None = None
    ) -> None:
        size = new.order.size if n_all is None else n_all
        self._sums = [_level_sums(one, members, size) for one in (new, old)]

    def differences(self, weight: FloatArray) -> dict[str, FloatArray]:
        """Figure → [n] challenger − champion, for weights [all, n]; NaN where they leave one class only."""
        counts = [_counts(sums @ weight) for sums in self._sums]
        with np.errstate(invalid="ignore"):
            return {name: figure(*counts[0]) - figure(*counts[1]) for name, figure in FIGURES.items()}


def by_order(weight: NDArray[np.number]) -> FloatArray:
    """[all, n] of resampled weights [n, all], as `RankedPair.differences` takes them."""
    return np.ascontiguousarray(weight.T, np.float64)


def _level_sums(one: Ranking, members: NDArray[np.intp] | None, n_all: int) -> csr_matrix:
    """[2 levels, all orders] with a 1 where an order is of a level: frauds first, then genuine orders.

    A level is a score that frauds have, or all scores between two such.
    """
    from scipy.sparse import csr_matrix

    tie = np.repeat(np.arange(one.last_of_tie.size), np.diff(one.last_of_tie, prepend=-1))
    has_fraud = np.zeros(one.last_of_tie.size + 1, bool)
    has_fraud[tie[one.is_fraud]] = True
    begins = has_fraud[:-1].copy()
    begins[1:] |= has_fraud[:-2]
    level = np.cumsum(begins)[tie]
    level -= level[0]
    n_levels = int(level[-1]) + 1
    row = level + np.where(one.is_fraud, 0, n_levels)
    column = one.order if members is None else members[one.order]
    return csr_matrix((np.ones(row.size), (row, column)), shape=(2 * n_levels, n_all))


def _counts(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weight [n, levels] of frauds and of genuine orders at or above each level, of sums [2 levels, n]."""
    fraud, genuine = np.split(sums, 2)
    return fraud.cumsum(axis=0).T, genuine.cumsum(axis=0).T


def _quantiles(blocks: Iterator[dict[str, FloatArray]], tails: list[float]) -> dict[str, FloatArray]:
    samples = list(blocks)
    return {name: np.nanquantile(np.concatenate([one[name] for one in samples]), tails) for name in FIGURES}


def block_sizes(resamples: int, n_rows: int) -> list[int]:
    """How many resamples are drawn at once, until all are."""
    most = max(1, WEIGHTS_AT_ONCE // n_rows)
    return [min(most, resamples - done) for done in range(0, resamples, most)]
