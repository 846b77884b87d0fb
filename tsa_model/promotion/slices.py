"""Whether a challenger is worse for some group of orders, although it may be as good for all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.evaluation import Groups
from tsa_model.evaluation.groups import MISSING, OTHER
from tsa_model.evaluation.metrics import FloatArray, Ranking
from tsa_model.evaluation.slice_figures import too_small
from tsa_model.promotion.bootstrap import FIGURES, RankedPair, block_sizes, by_order
from tsa_model.promotion.comparison import Condition, SliceDifference, SliceFigure
from tsa_model.settings.promotion import PromotionConfig

SLICES = "slices"
"""Name of the check that sums up what was found."""
SHOWN = 12
"""Groups that a sentence names."""


@dataclass(frozen=True)
class _Judged:
    """A group that is large enough, with both models' rankings of its orders."""

    name: tuple[str, str]
    members: NDArray[np.intp]
    new: Ranking
    old: Ranking


def judge_slices(
    label: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    slices: Sequence[Groups],
    config: PromotionConfig,
    fewest: int,
) -> tuple[SliceDifference, ...]:
    """Compare two models in every group of some slices.

    A challenger is refused for a group in which it lost more than the margin, where that is no chance: the
    upper bound of the difference is below 0. The bounds hold for all groups and figures at once. With many
    groups one looks bad by chance, so they are as wide as the largest of all deviations is in the bootstrap
    (Westfall and Young's "max T"); orders that are in several slices count once, not once per slice. An equal
    challenger is refused for any group with a probability of (1 - confidence) / 2.

    The burden of proof is the reverse of that for all orders, where the challenger must show that it is not
    worse: no group is large enough to show that in every run.

    Args:
        label: [N] 0 or 1, both present.
        challenger: [N] its scores.
        champion: [N] its scores.
        slices: of the N orders.
        config: margins and bootstrap.
        fewest: frauds, and genuine orders, that a group must have to be judged.

    Returns:
        Every group; one that is too small has no figures, which is said and decides nothing.
    """
    labels, new, old = np.asarray(label), np.asarray(challenger), np.asarray(champion)
    found: dict[tuple[str, str], SliceDifference] = {}
    judged: list[_Judged] = []
    for one in slices:
        for group in one.groups:
            members = np.flatnonzero(one.members(group))
            if not members.size and group in (MISSING, OTHER):
                continue
            frauds = int(labels[members].sum())
            words = too_small(members.size, frauds, fewest)
            found[one.name, group] = SliceDifference(
                slice=one.name, group=group, orders=members.size, frauds=frauds, too_small=words
            )
            if not words:
                rankings = (Ranking(score[members], labels[members]) for score in (new, old))
                judged.append(_Judged((one.name, group), members, *rankings))
    if judged:
        for name, figures in _figures(judged, labels.size, config, np.array_equal(new, old)).items():
            found[name] = found[name].changed(figures=figures)
    return tuple(found.values())


def _figures(
    judged: list[_Judged], n_rows: int, config: PromotionConfig, equal: bool
) -> dict[tuple[str, str], dict[str, SliceFigure]]:
    values = np.array([[_both(one, figure) for figure in FIGURES] for one in judged])  # [groups, figures, 2]
    difference = values[..., 0] - values[..., 1]
    spread = np.zeros_like(difference) if equal else _simultaneous(judged, n_rows, config)
    found: dict[tuple[str, str], dict[str, SliceFigure]] = {}
    for row, one in enumerate(judged):
        found[one.name] = {
            name: SliceFigure(
                challenger=values[row, column, 0],
                champion=values[row, column, 1],
                difference=difference[row, column],
                low=difference[row, column] - spread[row, column],
                high=difference[row, column] + spread[row, column],
                margin=config.slice_margin(*one.name, name),
            )
            for column, name in enumerate(FIGURES)
        }
    return found


def _both(one: _Judged, name: str) -> tuple[float, float]:
    """A figure of challenger and champion."""
    figure = FIGURES[name]
    return float(figure(*one.new.counts())), float(figure(*one.old.counts()))


def _simultaneous(judged: list[_Judged], n_rows: int, config: PromotionConfig) -> FloatArray:
    """Half widths [groups, figures] of intervals that hold every difference at once."""
    generator = np.random.default_rng(config.seed)
    pairs = [RankedPair(one.new, one.old, one.members, n_rows) for one in judged]
    drawn = []
    for n in block_sizes(config.resamples, n_rows):
        weight = by_order(generator.poisson(1.0, (n, n_rows)))
        groups = [pair.differences(weight) for pair in pairs]
        drawn.append(np.array([[group[name] for name in FIGURES] for group in groups]))
    samples = np.concatenate(drawn, axis=2)  # [groups, figures, resamples]
    error = samples - np.nanmean(samples, axis=2, keepdims=True)
    spread = np.sqrt(np.nanmean(error**2, axis=2))
    scaled = np.abs(error) / np.where(spread > 0, spread, np.inf)[..., None]
    largest = np.nan_to_num(scaled).max(axis=(0, 1))
    return spread * float(np.quantile(largest, config.confidence))


def slice_checks(found: Sequence[SliceDifference]) -> list[Condition]:
    """A condition for each group that lost too much, and one that sums up."""
    checks = []
    for one in found:
        for name, figure in one.figures.items():
            if not figure.passed:
                reason = (
                    f"{figure.challenger:.4f} against {figure.champion:.4f}, difference "
                    f"{figure.difference:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}] in {one.orders:,} "
                    f"orders with {one.frauds:,} frauds; more than {figure.margin:g} was lost, not by chance"
                )
                checks.append(Condition(name=f"{one.title}: {name}", passed=False, reason=reason))
    judged = [one for one in found if not one.too_small]
    worse = [one for one in judged if not one.passed]
    reason = f"{len(judged)} groups judged, {len(judged) - len(worse)} held"
    if worse:
        reason += f"; worse: {_listed([one.title for one in worse])}"
    small = [f"{one.title} ({one.too_small})" for one in found if one.too_small]
    if small:
        reason += f"; too small to judge, which decides nothing: {_listed(small)}"
    checks.append(Condition(name=SLICES, passed=not worse, reason=reason))
    return checks


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
