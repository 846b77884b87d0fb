"""The charts of our pages, as SVG elements: bars, points against a bound, curves, intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsa_model.pages.svg import ROLES, inline, page_font

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.5
"""Inches; a page shows a chart as wide as its column."""
SERIES = ("first", "second", "third")
MAX_SHOWN = 400
"""Bars or points of one series; more are drawn in groups, each by its largest value."""
CHARACTER = 6.0 / 72
"""Inches that a character of a label takes."""
LABEL_LENGTH = 28


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Values over x, with a band where they are uncertain."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    x_label: str,
    y_label: str,
) -> Markup:
    """Bars side by side, one group per label.

    Args:
        labels: under the bars; turned, cut or thinned out where there is no room for all.
        series: name → a value per label; None is not drawn. Three series at most.
        x_label: what the labels are.
        y_label: what the values are.
    """
    labels, series, x_label = _grouped(labels, series, x_label)
    tips = {}
    with _drawing(3.1) as (figure, axes):
        width = 0.8 / max(len(series), 1)
        for k, (name, values) in enumerate(series.items()):
            for i, value in enumerate(values):
                place = i - 0.4 + (k + 0.5) * width
                (bar,) = axes.bar(place, value or 0.0, width, color=ROLES[SERIES[k]])
                bar.set_gid(f"bar-{k}-{i}")
                shown = "not finite" if value is None else f"{value:g}"
                tips[f"bar-{k}-{i}"] = [f"{name}, {labels[i]}: {shown}"]
        _label_places(axes, labels)
        axes.set_ylim(bottom=0)
        _name_axes(axes, x_label, y_label)
        axes.grid(visible=False, axis="x")
        _legend(figure, list(series))
        return inline(figure, f"Bars of {y_label} by {x_label}. {_largest(labels, series)}", tips)


def points(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    x_label: str,
    y_label: str,
    bound: float | None = None,
) -> Markup:
    """Points on a logarithmic axis against an upper bound; those above it are crosses.

    Args:
        labels: what each point is; shown when the reader points at it.
        series: name → a value per label. 0 lies at the foot of the chart, None (not finite) at its top.
        x_label: what the order of the labels is.
        y_label: what the values are.
        bound: drawn as a dashed line.
    """
    labels, series, x_label = _grouped(labels, series, x_label)
    finite = [value for values in series.values() for value in values if value is not None and value > 0]
    low, high = _decades([*finite, bound] if bound else finite)
    tips = {}
    with _drawing(3.1) as (figure, axes):
        for k, (name, values) in enumerate(series.items()):
            for kind in ("good", "bad"):
                chosen = [i for i, value in enumerate(values) if _is_bad(value, bound) == (kind == "bad")]
                heights = [_height(values[i], low, high) for i in chosen]
                colour, marker = (ROLES["stop"], "X") if kind == "bad" else (ROLES[SERIES[k]], "o")
                places = [i + 1 for i in chosen]
                axes.plot(places, heights, marker, color=colour, markersize=5, gid=f"{kind}-{k}")
                tips[f"{kind}-{k}"] = [f"{labels[i]}, {name}: {_shown(values[i])}" for i in chosen]
        _dress_log(axes, low, high, len(labels))
        if bound:
            axes.axhline(bound, color=ROLES["stop"], linewidth=1.2, linestyle=(0, (5, 4)))
            axes.annotate(
                f"bound {bound:g}", (1, bound), (-2, 3), ("axes fraction", "data"), "offset points",
                ha="right", va="bottom", color=ROLES["stop"],
            )  # fmt: skip
        _name_axes(axes, x_label, y_label)
        _legend(figure, list(series))
        above = sum(_is_bad(value, bound) for values in series.values() for value in values)
        limit = f" Bound {bound:g}: {above} above it or not finite." if bound else ""
        return inline(figure, f"Points of {y_label} {x_label}. {_largest(labels, series)}{limit}", tips)


def curves(curves: Mapping[str, Curve], x_label: str, y_label: str, log_x: bool = False) -> Markup:
    """Lines over a common axis, each with its band.

    Args:
        curves: name → the line. Three at most.
        x_label: what x is, with its unit.
        y_label: what the values are.
        log_x: x on a logarithmic axis.
    """
    tips = {}
    with _drawing(3.3) as (figure, axes):
        for k, (name, curve) in enumerate(curves.items()):
            colour, marker = ROLES[SERIES[k]], "os^"[k]
            if curve.low is not None and curve.high is not None:
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(curve.x, curve.y, color=colour, linewidth=1.8)
            if len(curve.x) <= MAX_SHOWN:
                axes.plot(curve.x, curve.y, marker, color=colour, markersize=5, gid=f"curve-{k}")
                pairs = zip(curve.x, curve.y, strict=True)
                tips[f"curve-{k}"] = [f"{name}: {y:.4g} at {x:.4g}" for x, y in pairs]
        if log_x:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        _name_axes(axes, x_label, y_label)
        _legend(figure, list(curves), markers="os^")
        names = " and ".join(curves)
        return inline(figure, f"{y_label} over {x_label}: {names}.", tips)


def intervals(intervals: Sequence[Interval], x_label: str, least: Mapping[str, float]) -> Markup:
    """Values with their intervals, a line each, against 0 and the least that is accepted.

    Args:
        intervals: from top to bottom.
        x_label: what the values are.
        least: name → the bound that the low end must not fall below.
    """
    with _drawing(1.1 + 0.42 * len(intervals)) as (figure, axes):
        for i, one in enumerate(intervals):
            is_bad = one.name in least and one.low < least[one.name]
            colour = ROLES["stop" if is_bad else "first"]
            axes.plot([one.low, one.high], [i, i], color=colour, linewidth=2)
            axes.plot([one.value], [i], "X" if is_bad else "o", color=colour, markersize=7)
            if one.name in least:
                axes.plot([least[one.name]] * 2, [i - 0.35, i + 0.35], color=ROLES["second"], linewidth=2)
        axes.axvline(0, color=ROLES["soft"], linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(intervals)), [_cut(one.name) for one in intervals])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        _name_axes(axes, x_label, "")
        words = "; ".join(
            f"{one.name} {one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]" for one in intervals
        )
        return inline(figure, f"{x_label}: {words}.", {})


@contextmanager
def _drawing(height: float) -> Iterator[tuple[Figure, Axes]]:
    from matplotlib.figure import Figure

    with page_font():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


def _grouped(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], x_label: str
) -> tuple[list[str], dict[str, list[float | None]], str]:
    """At most `MAX_SHOWN` values of each series: neighbours in groups, each shown by its largest value."""
    step = math.ceil(len(labels) / MAX_SHOWN)
    if step <= 1:
        return list(labels), {name: list(values) for name, values in series.items()}, x_label
    starts = range(0, len(labels), step)
    ends = [min(start + step, len(labels)) - 1 for start in starts]
    names = [f"{labels[start]} to {labels[end]}" for start, end in zip(starts, ends, strict=True)]
    largest = {
        name: [_worst(values[start : start + step]) for start in starts] for name, values in series.items()
    }
    return names, largest, f"{x_label}, the largest of {step} each"


def _worst(values: Sequence[float | None]) -> float | None:
    return None if None in values else max(value for value in values if value is not None)


def _is_bad(value: float | None, bound: float | None) -> bool:
    return value is None or (bound is not None and value > bound)


def _height(value: float | None, low: int, high: int) -> float:
    return 10.0**high if value is None else max(value, 10.0**low)


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2g}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten below and above all values; the lower one is the place of 0."""
    low = math.floor(math.log10(min(values, default=1e-16))) - 1
    return low, max(math.ceil(math.log10(max(values, default=1.0))), low + 2)


def _dress_log(axes: Axes, low: int, high: int, n_places: int) -> None:
    from matplotlib.ticker import MaxNLocator, NullLocator

    axes.set_yscale("log")
    axes.set_ylim(10.0 ** (low - 0.4), 10.0 ** (high + 0.4))
    step = max(1, math.ceil((high - low) / 6))
    shown = list(range(high, low, -step))
    axes.set_yticks([10.0**k for k in [*shown, low]], [*(f"1e{k}" for k in shown), "0"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.3, n_places + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _label_places(axes: Axes, labels: Sequence[str]) -> None:
    """Labels level where they fit, else turned, and then only as many as there is room for."""
    room = (WIDTH - 1) / max(len(labels), 1)
    shown = [_cut(label) for label in labels]
    longest = max((len(label) for label in shown), default=0)
    is_level = longest * CHARACTER <= room
    step = 1 if is_level else max(1, math.ceil(0.2 / room))
    turned = {} if is_level else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(0, len(shown), step), shown[::step], **turned)
    axes.set_xlim(-0.6, len(labels) - 0.4)


def _cut(label: str) -> str:
    return label if len(label) <= LABEL_LENGTH else "…" + label[1 - LABEL_LENGTH :]


def _name_axes(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, color=ROLES["soft"])
    axes.set_ylabel(y_label, color=ROLES["soft"])
    axes.tick_params(colors=ROLES["soft"], length=0)
    axes.grid(color=ROLES["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(ROLES["soft"])


def _legend(figure: Figure, names: Sequence[str], markers: str = "sss") -> None:
    """A legend above the chart, where there is more than one series."""
    from matplotlib.lines import Line2D

    if len(names) > 1:
        keys = [
            Line2D([], [], color=ROLES[SERIES[k]], marker=markers[k], linestyle="", label=name)
            for k, name in enumerate(names)
        ]
        legend = figure.legend(handles=keys, loc="outside upper right", ncols=len(names), frameon=False)
        for text in legend.get_texts():
            text.set_color(ROLES["ink"])


def _largest(labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    found = [
        (value, labels[i], name) for name, values in series.items() for i, value in enumerate(values) if value
    ]
    if not found:
        return "No value above 0."
    value, label, name = max(found, key=lambda entry: entry[0])
    return f"Largest: {value:.2g} ({name}, {label})."
