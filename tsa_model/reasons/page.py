"""An explanation as one HTML page for the analyst who decides about the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsa_model.pages.render import render_page
from tsa_model.reasons.explanation import Explained, Reason
from tsa_model.reasons.parts import Side
from tsa_model.reasons.pictures import Mark, on_time_axis

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("explanation.html.j2")
LEAST_RISE = 0.5
"""Log-odds of the strongest side below which nothing is called a reason."""
STOPPED, NOTABLE = 0.99, 0.9
"""Share of the calibration period's orders with a lower score."""


@dataclass(frozen=True)
class Context:
    """What the page says of an order beside its reasons.

    Attributes:
        placed_at: UTC.
        percentile: share of the calibration period's orders with a lower score; None = not known.
        probability: calibrated probability of fraud; None = there is no calibrator.
        attention: side → weight of each earlier order, the latest first; empty where it was not looked at.
    """

    placed_at: str
    percentile: float | None = None
    probability: float | None = None
    attention: Mapping[Side, Sequence[float]] | None = None


@dataclass(frozen=True)
class Bar:
    """A reason with a bar."""

    words: str
    about: str
    shown: str
    width: int
    """In percent of the longest."""
    style: str


@dataclass(frozen=True)
class HistoryChart:
    """One history: its chart, or why there is none."""

    heading: str
    caption: str
    chart: Markup | None


def render_explanation(explained: Explained, context: Context) -> str:
    """The page."""
    it, words = explained.explanation, explained.words
    histories: list[Side] = [side for side in explained.case.sides if side != "order"]
    raising, against = it.raising(), it.against()
    longest = max((abs(each.contribution) for each in it.reasons), default=1.0) or 1.0
    return render_page(
        TEMPLATE,
        order_id=it.order_id,
        score=it.score,
        kind=_kind(context.percentile),
        headline=_headline(explained),
        facts=_facts(explained, context),
        raising=[_bar(each, longest, explained) for each in raising],
        against=[_bar(each, longest, explained) for each in against],
        sides=[_bar(each, longest, explained) for each in it.sides()],
        charts=[_contributions(explained, side) for side in histories],
        attention=[_attention(explained, side, context.attention[side]) for side in histories]
        if context.attention
        else [],
        parts=[
            (words.side(each.part.side), words.of(each.part), f"{each.value:+.3f}", f"{each.error:.3f}")
            for each in explained.attribution.parts
        ],
        explanation=it,
    )


def _kind(percentile: float | None) -> str:
    if percentile is None:
        return ""
    return "stop" if percentile >= STOPPED else "warn" if percentile >= NOTABLE else "ok"


def _headline(explained: Explained) -> str:
    it = explained.explanation
    first = it.sides()[0]
    if first.contribution < LEAST_RISE or not it.raising():
        return "Nothing in it raises the score much above that of ordinary genuine orders."
    return f"Mostly because of {explained.words.side(first.side)}: {first.words}."


def _facts(explained: Explained, context: Context) -> list[tuple[str, str]]:
    it = explained.explanation
    facts = [("score", f"{it.score:.3f}"), ("placed at (UTC)", context.placed_at.replace("T", " "))]
    if context.percentile is not None:
        facts.insert(1, ("of orders score lower", f"{context.percentile:.1%}"))
    if context.probability is not None:
        facts.insert(2, ("calibrated probability", f"{context.probability:.1%}"))
    for side, count in it.earlier_orders.items():
        whose = "this customer" if side == "customer" else "this card"
        weight = f", weight {it.gate[side]:.0%}" if it.gate else ""
        facts.append((f"earlier orders {explained.words.whose(_side(side)) or whose}{weight}", str(count)))
    return facts


def _side(name: str) -> Side:
    return "customer" if name == "customer" else "card"


def _bar(reason: Reason, longest: float, explained: Explained) -> Bar:
    side = explained.words.side(reason.side)
    about = side if reason.level == "b" else ""
    if reason.order_id is not None:
        about = f"{side}, order {reason.order_id}"
    error = f" ± {reason.error:.2f}" if reason.error >= 0.005 else ""
    return Bar(
        words=reason.words if reason.level == "b" else f"{side}: {reason.words}",
        about=about,
        shown=f"{reason.contribution:+.2f}{error}",
        width=max(1, round(100 * abs(reason.contribution) / longest)),
        style="raises" if reason.contribution > 0 else "lowers",
    )


def _contributions(explained: Explained, side: Side) -> HistoryChart:
    words = explained.words
    history = words.histories[side]
    marks = [
        Mark(
            history[each.part.back[-1]].ago_s,
            each.value,
            f"{words.of(each.part)}: {each.value:+.2f}",
            len(each.part.back) > 1,
        )
        for found in explained.attribution.sides
        if found.side == side
        for each in found.parts
        if each.part.back
    ]
    heading = words.side(side)
    if not marks:
        return HistoryChart(heading, words.burst(side, 0), None)
    caption = "A square stands for the older orders together." if marks[-1].is_group else ""
    strongest = max(marks, key=lambda mark: mark.value)
    alt = f"{heading} over time; strongest: {strongest.tip}"
    return HistoryChart(heading, caption, on_time_axis(marks, "contribution", alt))


def _attention(explained: Explained, side: Side, weights: Sequence[float]) -> HistoryChart:
    history = explained.words.histories[side][1:]
    heading = explained.words.side(side)
    if not history:
        return HistoryChart(heading, explained.words.burst(side, 0), None)
    marks = [
        Mark(order.ago_s, weight, f"attention {weight:.3f}")
        for order, weight in zip(history, weights, strict=True)
    ]
    return HistoryChart(
        heading, "", on_time_axis(marks, "attention", f"attention to {heading} over time", signed=False)
    )
