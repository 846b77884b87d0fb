"""The axes of our charts: their size, labels, grid and legend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tsa_model.pages.svg import ROLES, page_font

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.4
"""Inches: narrow enough that a telephone shows the whole chart with words that can be read."""
SERIES = ("first", "second", "third")
CHARACTER = 6.0 / 72
"""Inches that a character of a label takes."""
LABEL_LENGTH = 24
TURNED_ROOM = 0.24
"""Inches between labels that are turned."""


@contextmanager
def drawing(height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of a height in inches, and its axes; it must be turned into SVG within the context."""
    from matplotlib.figure import Figure

    with page_font():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


def dress_log(axes: Axes, decades: tuple[int, int, int], n_places: int) -> None:
    """Make y logarithmic, with 0 at its foot.

    Args:
        axes: with the points drawn.
        decades: powers of ten: where 0 lies, the highest shown, and where "not finite" lies
            (above the second where there is such a point).
        n_places: points along x, at 1, 2, 3.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    low, high, top = decades
    axes.set_yscale("log")
    axes.set_ylim(10.0 ** (low - 0.4), 10.0 ** (top + 0.4))
    ticks = {low: "0"} | {k: f"1e{k}" for k in range(high, low, -math.ceil((high - low) / 6))}
    if top > high:
        ticks[top] = "not finite"
    axes.set_yticks([10.0**k for k in ticks], list(ticks.values()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.4, n_places + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def label_places(axes: Axes, labels: Sequence[str]) -> None:
    """Labels level where they fit, else turned, and then only as many as there is room for."""
    shown = [cut(label) for label in labels]
    is_level = label_room(labels) == 0
    step = 1 if is_level else math.ceil(TURNED_ROOM * len(labels) / (WIDTH - 1))
    turned: dict[str, Any] = {} if is_level else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(0, len(shown), step), shown[::step], **turned)
    axes.set_xlim(-0.6, len(labels) - 0.4)


def label_room(labels: Sequence[str]) -> float:
    """Inches of height that turned labels need; 0 where they fit level."""
    longest = max((len(cut(label)) for label in labels), default=0) * CHARACTER
    return 0.0 if longest * len(labels) <= WIDTH - 1 else 0.64 * longest


def cut(label: str) -> str:
    """The end of a long label."""
    return label if len(label) <= LABEL_LENGTH else "…" + label[1 - LABEL_LENGTH :]


def name_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Give the axes their names, a light grid and a line at the foot."""
    axes.set_xlabel(x_label, color=ROLES["soft"])
    axes.set_ylabel(y_label, color=ROLES["soft"])
    axes.tick_params(colors=ROLES["soft"], length=0)
    axes.grid(color=ROLES["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(ROLES["soft"])


def add_legend(figure: Figure, names: Sequence[str], markers: str = "sss", bound: str | None = None) -> None:
    """A legend above the chart: the series, where there are several, and the bound."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=ROLES[SERIES[k]], marker=markers[k], markersize=5, linestyle="", label=name)
        for k, name in enumerate(names)
        if len(names) > 1
    ]
    if bound is not None:
        keys.append(Line2D([], [], color=ROLES["stop"], linestyle=(0, (5, 4)), linewidth=1.2, label=bound))
    if keys:
        legend = figure.legend(handles=keys, loc="outside upper right", ncols=len(keys), frameon=False)
        for text in legend.get_texts():
            text.set_color(ROLES["ink"])
