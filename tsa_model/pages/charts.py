"""The charts of our pages, as SVG elements: bars, points against a bound, curves, intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsa_model.pages.axes import (
    SERIES,
    add_legend,
    cut,
    drawing,
    dress_log,
    label_places,
    label_room,
    name_axes,
)
from tsa_model.pages.svg import ROLES, inline

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_SHOWN = 360
"""Bars or points of a chart; more are drawn in groups, each by its largest value."""
TIP_LENGTH = 200


@dataclass(frozen=True)
class DrawnInterval:
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

    Raises:
        ValueError: too many series, or one has not a value per label.
    """
    labels, series, x_label = _grouped(labels, series, x_label)
    tips = {}
    with drawing(2.7 + label_room(labels)) as (figure, axes):
        width = 0.8 / max(len(series), 1)
        for k, (name, values) in enumerate(series.items()):
            for i, value in enumerate(values):
                place = i - 0.4 + (k + 0.5) * width
                (bar,) = axes.bar(place, value or 0.0, width, color=ROLES[SERIES[k]])
                bar.set_gid(f"bar-{k}-{i}")
                shown = "not finite" if value is None else f"{value:g}"
                tips[f"bar-{k}-{i}"] = [_tip(f"{name}, {labels[i]}", shown)]
        label_places(axes, labels)
        if all((value or 0.0) >= 0 for values in series.values() for value in values):
            axes.set_ylim(bottom=0)
        name_axes(axes, x_label, y_label)
        axes.grid(visible=False, axis="x")
        add_legend(figure, list(series))
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

    Raises:
        ValueError: too many series, or one has not a value per label.
    """
    labels, series, x_label = _grouped(labels, series, x_label)
    everything = [value for values in series.values() for value in values]
    positive = [value for value in [*everything, bound] if value is not None and value > 0]
    low, high = _decades(positive)
    top = high + 1 if None in everything else high
    tips = {}
    with drawing(2.7) as (figure, axes):
        for k, (name, values) in enumerate(series.items()):
            for kind in ("good", "bad"):
                chosen = [i for i, value in enumerate(values) if _is_bad(value, bound) == (kind == "bad")]
                heights = [_height(values[i], low, top) for i in chosen]
                colour, marker = (ROLES["stop"], "X") if kind == "bad" else (ROLES[SERIES[k]], "o")
                places = [i + 1 for i in chosen]
                axes.plot(
                    places, heights, marker, color=colour, markersize=4.5, gid=f"{kind}-{k}", clip_on=False
                )
                tips[f"{kind}-{k}"] = [_tip(f"{labels[i]}, {name}", _shown(values[i])) for i in chosen]
        dress_log(axes, (low, high, top), len(labels))
        if bound:
            axes.axhline(bound, color=ROLES["stop"], linewidth=1.2, linestyle=(0, (5, 4)))
        name_axes(axes, x_label, y_label)
        add_legend(figure, list(series), "ooo", None if bound is None else f"bound {bound:g}")
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
    with drawing(2.9) as (figure, axes):
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
        elif all(float(x).is_integer() for curve in curves.values() for x in curve.x):
            axes.locator_params(axis="x", integer=True)
        name_axes(axes, x_label, y_label)
        add_legend(figure, list(curves), markers="os^")
        names = " and ".join(curves)
        return inline(figure, f"{y_label} over {x_label}: {names}.", tips)


def intervals(intervals: Sequence[DrawnInterval], x_label: str, least: Mapping[str, float]) -> Markup:
    """Values with their intervals, a line each, against 0 and the least that is accepted.

    Args:
        intervals: from top to bottom.
        x_label: what the values are.
        least: name → the bound that the low end must not fall below.
    """
    with drawing(1.1 + 0.42 * len(intervals)) as (figure, axes):
        for i, one in enumerate(intervals):
            is_bad = one.name in least and one.low < least[one.name]
            colour = ROLES["stop" if is_bad else "first"]
            axes.plot([one.low, one.high], [i, i], color=colour, linewidth=2)
            axes.plot([one.value], [i], "X" if is_bad else "o", color=colour, markersize=7)
            if one.name in least:
                axes.plot([least[one.name]] * 2, [i - 0.35, i + 0.35], color=ROLES["second"], linewidth=2)
        axes.axvline(0, color=ROLES["soft"], linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(intervals)), [cut(one.name) for one in intervals])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        name_axes(axes, x_label, "")
        words = "; ".join(
            f"{one.name} {one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]" for one in intervals
        )
        return inline(figure, f"{x_label}: {words}.", {})


def ranges(intervals: Sequence[DrawnInterval], x_label: str, common: DrawnInterval | None = None) -> Markup:
    """Values of groups with their intervals, a line each, beside the value of all together.

    Args:
        intervals: of the groups, from top to bottom.
        x_label: what the values are.
        common: the value of all, drawn as an upright line with a band; None = there is none.
    """
    everything = intervals if common is None else (common, *intervals)
    with drawing(0.75 + 0.27 * len(intervals)) as (figure, axes):
        if common is not None:
            axes.axvspan(common.low, common.high, color=ROLES["second"], alpha=0.15, linewidth=0)
            axes.axvline(common.value, color=ROLES["second"], linewidth=1.4)
        for i, one in enumerate(intervals):
            axes.plot([one.low, one.high], [i, i], color=ROLES["first"], linewidth=2)
            axes.plot([one.value], [i], "o", color=ROLES["first"], markersize=5)
        axes.set_yticks(range(len(intervals)), [cut(one.name) for one in intervals])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        name_axes(axes, x_label, "")
        words = "; ".join(f"{one.name} {one.value:.4f} [{one.low:.4f}, {one.high:.4f}]" for one in everything)
        return inline(figure, f"{x_label}: {words}.", {})


def _grouped(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], x_label: str
) -> tuple[list[str], dict[str, list[float | None]], str]:
    """At most `MAX_SHOWN` values in all: neighbours in groups, each shown by its largest value."""
    if len(series) > len(SERIES):
        raise ValueError(f"a chart shows {len(SERIES)} series at most, not {len(series)}: draw two charts")
    lengths = {name: len(values) for name, values in series.items() if len(values) != len(labels)}
    if lengths:
        raise ValueError(f"{len(labels)} labels, but {lengths} values: every series needs one per label")
    step = math.ceil(len(labels) * len(series) / MAX_SHOWN)
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


def _height(value: float | None, low: int, top: int) -> float:
    return 10.0**top if value is None else max(value, 10.0**low)


def _tip(name: str, shown: str) -> str:
    return f"{name if len(name) <= TIP_LENGTH else name[:TIP_LENGTH] + '…'}: {shown}"


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2g}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten below and above all values; the lower one is the place of 0."""
    low = math.floor(math.log10(min(values, default=1e-16))) - 1
    return low, max(math.ceil(math.log10(max(values, default=1.0))), low + 2)


def _largest(labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    found = [
        (value, labels[i], name) for name, values in series.items() for i, value in enumerate(values) if value
    ]
    if not found:
        return "No value above 0."
    value, label, name = max(found, key=lambda entry: entry[0])
    return f"Largest: {value:.2g} ({name}, {label})."
