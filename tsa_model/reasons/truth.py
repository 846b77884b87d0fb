"""Reasons held against the truth, which the simulator knows: where a fraud shows, and in which orders.

The same figures are computed once more with every order's contributions shuffled among its parts and sides.
What does not fall then was not found by the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsa_model.reasons.alerts import ExplainedRow
from tsa_model.reasons.explanation import Explanation, OrderId
from tsa_model.reasons.parts import Side
from tsa_model.settings import Settings
from tsa_model.simulation.features import PATTERNS, Causes

CAUSES = ("order", "customer", "card")
"""Patterns of fraud that show somewhere; each is called as the side where it shows."""
TOP_PARTS = 5
SHUFFLES = 20
"""Of each explanation: with one the control would be as uncertain as what it controls."""


class CauseFigures(Settings):
    """Of the caught frauds of one cause."""

    cause: str
    frauds: int
    right_side: float
    """Share whose strongest side is the one where the fraud shows."""
    right_side_low: float
    right_side_high: float
    """Wilson's interval of it, 95 %."""
    right_side_shuffled: float
    explained: int
    """Frauds whose single parts were looked at, too."""
    causing_order: float | None = None
    """Share of these whose five strongest parts contain an order that caused it; null where no single order
    did, and where none was explained."""
    causing_order_shuffled: float | None = None


class TruthFigures(Settings):
    """What reasons are worth, where the truth is known."""

    causes: tuple[CauseFigures, ...]


class DeletionFigures(Settings):
    """How far a score moves without its top three parts, against three random ones; medians of log-odds."""

    orders: int
    top: float
    random: float
    ratio: float | None
    """Of the two; null where random parts do not move anything."""


@dataclass(frozen=True)
class Truth:
    """Why each order is what it is, by its id."""

    pattern: Mapping[OrderId, str]
    episode: Mapping[OrderId, int]

    @classmethod
    def of(cls, order_ids: Sequence[OrderId], causes: Causes) -> Truth:
        """Of all orders of a simulation."""
        names = [PATTERNS[place] for place in causes.pattern.tolist()]
        return cls(
            dict(zip(order_ids, names, strict=True)),
            dict(zip(order_ids, causes.episode.tolist(), strict=True)),
        )

    def caused(self, fraud: OrderId, earlier: OrderId) -> bool:
        """Whether an earlier order of a card belongs to the theft that a fraud cashes out."""
        return (
            self.pattern[fraud] == "card"
            and self.pattern.get(earlier) in ("card", "card_test")
            and self.episode[earlier] == self.episode[fraud]
        )


def truth_figures(
    sides: Mapping[OrderId, Sequence[Side]], found: Sequence[Explanation], truth: Truth, seed: int = 0
) -> TruthFigures:
    """Hold the reasons of caught frauds against the truth.

    Args:
        sides: order id → its sides, the strongest first; only frauds that show somewhere count.
        found: explanations of caught frauds; fewer, because they cost more.
        truth: of all orders.
        seed: of the shuffled reasons.
    """
    drawn = np.random.default_rng(seed)
    figures = []
    for cause in CAUSES:
        ranked = [order for fraud, order in sides.items() if truth.pattern.get(fraud) == cause]
        if not ranked:
            continue
        frauds = [each for each in found if truth.pattern.get(each.order_id) == cause]
        right = sum(order[0] == cause for order in ranked)
        low, high = _wilson(right, len(ranked))
        shuffled = np.mean([drawn.permutation(order)[0] == cause for order in ranked * SHUFFLES])
        causing = causing_shuffled = None
        if cause == "card" and frauds:
            whole = [_causing(each, truth, list(range(len(each.parts)))) for each in frauds]
            mixed = [
                _causing(each, truth, drawn.permutation(len(each.parts)).tolist())
                for each in frauds * SHUFFLES
            ]
            causing, causing_shuffled = float(np.mean(whole)), float(np.mean(mixed))
        figures.append(
            CauseFigures(
                cause=cause,
                frauds=len(ranked),
                right_side=right / len(ranked),
                right_side_low=low,
                right_side_high=high,
                right_side_shuffled=float(shuffled),
                explained=len(frauds),
                causing_order=causing,
                causing_order_shuffled=causing_shuffled,
            )
        )
    return TruthFigures(causes=tuple(figures))


def _wilson(hits: int, of: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, of).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _causing(each: Explanation, truth: Truth, owner: Sequence[int]) -> bool:
    """Whether the five largest contributions belong, among others, to an order that caused the fraud.

    Args:
        each: the explanation.
        truth: of all orders.
        owner: place of the part that gets each contribution; in sequence for the reasons as they are.
    """
    ranked = sorted(range(len(each.parts)), key=lambda k: -each.parts[k].contribution)[:TOP_PARTS]
    parts = [each.parts[owner[k]] for k in ranked]
    return any(
        truth.caused(each.order_id, earlier)
        for part in parts
        if part.side == "card"
        for earlier in part.order_ids
    )


def deletion_figures(found: Sequence[ExplainedRow]) -> DeletionFigures | None:
    """Medians over orders; None without any."""
    if not found:
        return None
    top = float(np.median([each.moved.top for each in found]))
    random = float(np.median([each.moved.random for each in found]))
    return DeletionFigures(
        orders=len(found), top=top, random=random, ratio=top / random if random > 0 else None
    )
