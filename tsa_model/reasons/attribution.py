"""What raised or lowered one score: Shapley values on two levels.

Level a shares the logit, less that of the background, among the sides: the order itself, the customer's
history, the card's history. Level b looks into a side while the others are as they are, and shares what the
side has got among its features and its earlier orders. So the parts of a side add up to the side, and the
sides to the logit less the background's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsa_model.reasons.game import Case
from tsa_model.reasons.parts import Part, Side
from tsa_model.reasons.shapley import (
    MOST_EXACT,
    Values,
    all_coalitions,
    exact,
    joined,
    random_walks,
    sampled,
    walked_coalitions,
)

LEVEL_ROWS = 1_280
"""Rows of an exact level at most, so that three of them and level a stay below 4,000."""
SEED = 20


@dataclass(frozen=True)
class Effort:
    """How much is computed for one order.

    Attributes:
        draws: background orders over which absent features are averaged within a side.
        pairs: pairs of random walks through a side of more than ten parts; each takes one background order.
        level_rows: rows of an exact level at most; a side of many parts is averaged over fewer orders.
    """

    draws: int = 16
    pairs: int = 16
    level_rows: int = LEVEL_ROWS
    side_draws: int = 16
    """Background orders over which whole sides are averaged. Their few mixtures need few rows, and with fewer
    orders the strongest side would depend on which ones they are."""


THOROUGH = Effort()
"""Of a single order."""
BRIEF = Effort(draws=4, pairs=4, level_rows=256)
"""Of many orders: about a fifth of the rows."""


@dataclass(frozen=True)
class Contribution:
    """By how much one part changed the logit."""

    part: Part
    value: float
    """In log-odds; above 0 speaks for fraud."""
    error: float
    """Its standard error; 0 = exact."""


@dataclass(frozen=True)
class SideContribution:
    """By how much a whole side changed the logit, and through what."""

    side: Side
    value: float
    parts: tuple[Contribution, ...]
    """They add up to the side's value."""
    is_exact: bool
    """Every mixture of its parts was computed."""


@dataclass(frozen=True)
class Attribution:
    """The reasons of one score, in numbers."""

    logit: float
    """Log-odds of fraud as the model gives them."""
    background_logit: float
    """The mean logit of the background: genuine training orders without any history."""
    sides: tuple[SideContribution, ...]
    """Their values add up to the difference of the two."""
    scored_rows: int

    @property
    def parts(self) -> tuple[Contribution, ...]:
        """All of them, from the largest contribution to the smallest."""
        found = [each for side in self.sides for each in side.parts]
        return tuple(sorted(found, key=lambda each: -each.value))


def attribute(case: Case, effort: Effort = THOROUGH) -> Attribution:
    """Share an order's logit among its parts.

    Args:
        case: the order.
        effort: how much is computed.
    """
    n_draws = min(effort.draws, len(case.rules.described.background))
    worth, values = _level_a(case, effort)
    found = []
    for k, side in enumerate(case.sides):
        members = case.members(side)
        inner, is_exact = _level_b(case, members, n_draws, effort)
        shares = joined(inner.value, values[k])
        stretched = np.divide(shares, inner.value, out=np.ones_like(shares), where=inner.value != 0)
        error = inner.error * np.abs(stretched)
        parts = tuple(
            Contribution(case.parts[place], float(shares[i]), float(error[i]))
            for i, place in enumerate(members)
        )
        found.append(SideContribution(side, float(values[k]), parts, is_exact))
    return Attribution(float(worth[-1]), float(worth[0]), tuple(found), case.scored_rows)


def ranked_sides(case: Case, effort: Effort = THOROUGH) -> tuple[Side, ...]:
    """The sides from the largest value to the smallest, without looking into them: some 70 rows."""
    _, values = _level_a(case, effort)
    return tuple(case.sides[k] for k in np.argsort(-values, kind="stable"))


def _level_a(case: Case, effort: Effort) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The worth of each mixture of sides, and the sides' Shapley values."""
    coalitions = all_coalitions(len(case.sides))
    present = np.ones((len(coalitions), len(case.parts)), dtype=bool)
    for k, side in enumerate(case.sides):
        present[:, case.members(side)] = coalitions[:, k, None]
    worth = _mean_logits(case, present, min(effort.side_draws, len(case.rules.described.background)))
    return worth, exact(worth).value


def _level_b(case: Case, members: NDArray[np.intp], n_draws: int, effort: Effort) -> tuple[Values, bool]:
    """Shapley values of a side's parts while the other sides are present, and whether they are exact."""
    p = members.size
    if p <= MOST_EXACT:
        coalitions = all_coalitions(p)
        is_feature = np.array([case.parts[place].feature is not None for place in members], dtype=bool)
        once = int(coalitions[:, is_feature].all(axis=1).sum())  # mixtures that need no background
        many = len(coalitions) - once
        affordable = max(1, (effort.level_rows - once) // max(many, 1))
        return exact(_mean_logits(case, _within(case, members, coalitions), min(n_draws, affordable))), True
    walks = random_walks(p, effort.pairs, SEED)
    coalitions = walked_coalitions(walks).reshape(-1, p)
    draw = np.repeat(np.arange(effort.pairs) % n_draws, 2 * (p + 1))
    worth = case.logits(_within(case, members, coalitions), draw)
    return sampled(worth.reshape(len(walks), p + 1), walks), False


def _within(case: Case, members: NDArray[np.intp], coalitions: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which parts are present where a side's are in coalitions and all others are there."""
    present = np.ones((len(coalitions), len(case.parts)), dtype=bool)
    present[:, members] = coalitions
    return present


def _mean_logits(case: Case, present: NDArray[np.bool_], n_draws: int) -> NDArray[np.float64]:
    """[N] the logit of each mixture, averaged over background orders."""
    draw = np.tile(np.arange(n_draws), len(present))
    return case.logits(np.repeat(present, n_draws, axis=0), draw).reshape(len(present), n_draws).mean(axis=1)
