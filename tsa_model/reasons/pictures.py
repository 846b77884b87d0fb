"""Histories on a time axis: what each earlier order gave, or how much attention it got."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsa_model.pages.axes import drawing, name_axes
from tsa_model.pages.svg import ROLES, inline
from tsa_model.reasons.values import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from markupsafe import Markup

TICKS = (
    (1, "1 s"),
    (MINUTE, "1 min"),
    (20 * MINUTE, "20 min"),
    (HOUR, "1 h"),
    (6 * HOUR, "6 h"),
    (DAY, "1 day"),
    (7 * DAY, "1 week"),
    (30 * DAY, "1 month"),
    (365 * DAY, "1 year"),
)
HEIGHT = 2.3


@dataclass(frozen=True)
class Mark:
    """One earlier order, or several taken together.

    Attributes:
        ago_s: seconds before the order that is explained.
        value: how high the mark is.
        tip: what the reader sees when pointing at it.
        is_group: it stands for several orders, of which it is the oldest.
    """

    ago_s: float
    value: float
    tip: str
    is_group: bool = False


def on_time_axis(marks: Sequence[Mark], y_label: str, alt: str, signed: bool = True) -> Markup:
    """Draw marks over the time before the order; the present is at the right, the past shrinks to the left.

    Args:
        marks: at least one.
        y_label: what their heights are.
        alt: the chart in words.
        signed: above 0 is drawn as a warning; otherwise all are drawn alike.
    """
    places = [-math.log10(max(mark.ago_s, 1.0)) for mark in marks]
    tips = {}
    with drawing(HEIGHT) as (figure, axes):
        axes.axhline(0.0, color=ROLES["soft"], linewidth=0.8)
        for k, (place, mark) in enumerate(zip(places, marks, strict=True)):
            colour = ROLES["first"] if not signed else ROLES["stop"] if mark.value > 0 else ROLES["third"]
            axes.plot([place, place], [0.0, mark.value], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(
                [place], [mark.value], "s" if mark.is_group else "o", color=colour, markersize=5, gid=f"m{k}"
            )
            tips[f"m{k}"] = [mark.tip]
        low, high = min(places), max(places)
        room = 0.06 * max(high - low, 1.0)
        axes.set_xlim(low - room, high + room)
        shown = [(-math.log10(ago), name) for ago, name in TICKS]
        shown = [(at, name) for at, name in shown if low - room <= at <= high + room]
        axes.set_xticks([at for at, _ in shown], [name for _, name in shown])
        name_axes(axes, "before this order", y_label)
        return inline(figure, alt, tips)
