"""The reasons of one score as a document: numbers with their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tsa_model.reasons.attribution import (
    THOROUGH,
    Attribution,
    Contribution,
    Effort,
    SideContribution,
    attribute,
)
from tsa_model.reasons.game import Case, Rules
from tsa_model.reasons.parts import Side
from tsa_model.reasons.words import Words
from tsa_model.settings import Settings

OrderId = int | str
TELLING = 0.25
"""Of a side's contribution: a column whose effect is larger says best what the side says."""
SAME_SIZE = 0.5
"""Orders whose contributions are at least this share of the strongest one's are told together."""
DIGITS = 7
"""Decimals of a contribution: sums stay right to 1e-5."""


class Reason(Settings):
    """Why a score is higher or lower than the background's."""

    level: Literal["a", "b"]
    """`a` = a whole side; these add up to `logit` less `background_logit`. `b` = one part of a side."""
    side: Side
    order_id: OrderId | None = None
    """The earlier order it is about."""
    feature: str | None = None
    """The column or group it is about."""
    contribution: float
    """In log-odds; above 0 speaks for fraud."""
    error: float = 0.0
    """Standard error of a sampled contribution."""
    words: str


class PartShare(Settings):
    """A part with its contribution, said or not."""

    side: Side
    feature: str | None = None
    order_ids: tuple[OrderId, ...] = ()
    """The earlier orders it stands for, the latest first; empty where their ids are not known."""
    orders_back: tuple[int, ...] = ()
    """How many orders back they are in the history."""
    contribution: float
    error: float


class Explanation(Settings):
    """The reasons of one score."""

    order_id: OrderId
    score: float
    logit: float
    """Log-odds of the score, before any calibration."""
    background_logit: float
    gate: dict[str, float] | None = None
    """Weight of the customer's and of the card's history; null for one history."""
    earlier_orders: dict[str, int]
    """Side → orders in its history."""
    reasons: tuple[Reason, ...]
    """Every side, then the parts that raise the score most, then the one that speaks most against fraud."""
    parts: tuple[PartShare, ...]
    """Every part; those of a side add up to the side."""
    is_exact: dict[str, bool]
    """Side → every mixture of its parts was computed; else they are sampled."""
    scored_rows: int
    onnx_sha256: str = ""

    def sides(self) -> tuple[Reason, ...]:
        """The level-a reasons, from the largest contribution to the smallest."""
        return tuple(reason for reason in self.reasons if reason.level == "a")

    def raising(self) -> tuple[Reason, ...]:
        """Parts that raise the score, the strongest first."""
        return tuple(each for each in self.reasons if each.level == "b" and each.contribution > 0)

    def against(self) -> tuple[Reason, ...]:
        """The part that speaks most against fraud, if any does."""
        return tuple(each for each in self.reasons if each.level == "b" and each.contribution < 0)


@dataclass(frozen=True)
class OrderFacts:
    """What the network does not see of an order.

    Attributes:
        order_id: its id.
        earlier: side → ids of the orders of its history, the latest first; a side may be missing.
    """

    order_id: OrderId
    earlier: Mapping[Side, Sequence[OrderId]] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """An explanation with what pages draw of it."""

    explanation: Explanation
    case: Case
    attribution: Attribution
    words: Words


def explain(
    rules: Rules, row: Mapping[str, Any], facts: OrderFacts, effort: Effort = THOROUGH, digest: str = ""
) -> Explained:
    """Explain the score of one order.

    Args:
        rules: of the model.
        row: the order as a batch of one row.
        facts: ids.
        effort: how much is computed.
        digest: of the ONNX file, for the document.
    """
    case = Case(rules, row)
    outputs = rules.session.run(case.row)
    found = attribute(case, effort)
    words = Words(case)
    gate = None
    if "gate_scores" in outputs:
        gate = dict(zip(("customer", "card"), outputs["gate_scores"][0].tolist(), strict=True))
    explanation = Explanation(
        order_id=facts.order_id,
        score=float(outputs["score"][0]),
        logit=round(found.logit, DIGITS),
        background_logit=round(found.background_logit, DIGITS),
        gate=gate,
        earlier_orders={side: case.earlier(side) for side in case.sides if side != "order"},
        reasons=_reasons(found, words, facts),
        parts=tuple(_share(each, facts) for side in found.sides for each in side.parts),
        is_exact={side.side: side.is_exact for side in found.sides},
        scored_rows=found.scored_rows,
        onnx_sha256=digest,
    )
    return Explained(explanation, case, found, words)


def _reasons(found: Attribution, words: Words, facts: OrderFacts) -> tuple[Reason, ...]:
    sides = sorted(found.sides, key=lambda side: -side.value)
    reasons = [
        Reason(
            level="a", side=side.side, contribution=round(side.value, DIGITS), words=side_words(side, words)
        )
        for side in sides
    ]
    settings = words.settings
    raising = [each for each in found.parts if each.value > 0]
    least = settings.least_share * sum(each.value for each in raising)
    said = [each for each in raising[: settings.most_said] if each.value >= least]
    said += [each for each in found.parts[-1:] if each.value < 0]
    return (*reasons, *(_reason(each, words, facts) for each in said))


def _reason(each: Contribution, words: Words, facts: OrderFacts) -> Reason:
    share = _share(each, facts)
    return Reason(
        level="b",
        side=each.part.side,
        order_id=share.order_ids[0] if len(share.order_ids) == 1 else None,
        feature=each.part.feature,
        contribution=share.contribution,
        error=share.error,
        words=words.of(each.part),
    )


def _share(each: Contribution, facts: OrderFacts) -> PartShare:
    ids = facts.earlier.get(each.part.side, ())
    return PartShare(
        side=each.part.side,
        feature=each.part.feature,
        order_ids=tuple(ids[back - 1] for back in each.part.back if back <= len(ids)),
        orders_back=each.part.back,
        contribution=round(each.value, DIGITS),
        error=round(each.error, DIGITS),
    )


def side_words(side: SideContribution, words: Words) -> str:
    """What a whole side says: its strongest part, or how many orders there were lately."""
    sign = 1.0 if side.value >= 0 else -1.0
    if side.side != "order" and len(words.histories[side.side]) == 1:
        return words.burst(side.side, 0)
    if not side.parts:
        return ""
    effects = {} if side.side == "order" else words.case.column_effects(side.side)
    column = max(effects, key=lambda name: sign * effects[name], default=None)
    if column is not None and sign * effects[column] >= TELLING * abs(side.value):
        return words.of_column(column)
    strongest = max(side.parts, key=lambda each: sign * each.value)
    orders = [each for each in side.parts if len(each.part.back) == 1 and sign * each.value > 0]
    if sign > 0 and len(orders) > 1 and sum(each.value for each in orders) > strongest.value:
        least = SAME_SIZE * max(each.value for each in orders)
        telling = [each.part.back[0] for each in orders if each.value >= least]
        return words.burst(side.side, max(telling))
    return words.of(strongest.part)


def as_text(explained: Explained) -> str:
    """The explanation for a terminal."""
    it, name = explained.explanation, explained.words.side
    lines = [
        f"order {it.order_id}: score {it.score:.4f}, log-odds {it.logit:+.2f}; "
        f"{it.background_logit:+.2f} for genuine orders without history",
        "",
        "where it comes from",
        *(_line(each.contribution, f"{name(each.side)}: {each.words}") for each in it.sides()),
    ]
    for heading, reasons in (("raises the score", it.raising()), ("speaks against fraud", it.against())):
        if reasons:
            lines += ["", heading, *(_line(each.contribution, each.words, each.error) for each in reasons)]
    return "\n".join(lines)


def _line(contribution: float, words: str, error: float = 0.0) -> str:
    about = f"  (± {error:.2f})" if error >= 0.005 else ""
    return f"  {contribution:+6.2f}  {words}{about}"
