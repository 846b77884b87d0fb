"""The report's charts as inline SVG: no script, no font, no file beside the page."""

from __future__ import annotations

import math
from html import escape

from tsa_model.equivalence.results import Plot

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 46
COLOURS = ("#1f5fa8", "#c9772b", "#5b8c3e")
SMALLEST = 1e-18
"""What a difference of exactly 0 is drawn at on a logarithmic axis."""


def draw(plot: Plot) -> str:
    """The chart as an SVG element with its caption."""
    body = _bars(plot) if plot.kind == "bars" else _points(plot)
    keys = "".join(
        f'<tspan fill="{colour}">■</tspan> {escape(name)}&#160;&#160; '
        for name, colour in zip(plot.series, COLOURS, strict=False)
    )
    legend = (
        f'<text x="{WIDTH - RIGHT}" y="11" text-anchor="end">{keys}</text>' if len(plot.series) > 1 else ""
    )
    x, y = (LEFT + WIDTH) / 2, (TOP + HEIGHT - BOTTOM) / 2
    axes = (
        f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}" class="axis"/>'
        f'<text x="{x:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(plot.x_label)}</text>'
        f'<text transform="translate(13 {y:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(plot.y_label)}</text>"
    )
    return (
        f'<figure><figcaption>{escape(plot.title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(plot.title)}">{axes}{legend}{body}</svg></figure>'
    )


def _bars(plot: Plot) -> str:
    highest = max((value or 0.0 for values in plot.series.values() for value in values), default=0.0) or 1.0
    room = (WIDTH - LEFT - RIGHT) / max(len(plot.labels), 1)
    width = 0.8 * room / max(len(plot.series), 1)
    parts = []
    for i, label in enumerate(plot.labels):
        x = LEFT + (i + 0.5) * room
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(label)}</text>'
        )
        for k, (name, values) in enumerate(plot.series.items()):
            value = values[i] or 0.0
            height = (HEIGHT - TOP - BOTTOM) * value / highest
            parts.append(
                f'<rect x="{x - 0.4 * room + k * width:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" '
                f'width="{width:.1f}" height="{height:.1f}" fill="{COLOURS[k]}">'
                f"<title>{escape(name)}, {escape(label)}: {value:g}</title></rect>"
            )
    for share in (0.5, 1.0):
        parts.append(_tick(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), f"{share * highest:g}"))
    return "".join(parts)


def _points(plot: Plot) -> str:
    values = [max(v, SMALLEST) for series in plot.series.values() for v in series if v is not None]
    if plot.bound:
        values.append(plot.bound)
    low = math.floor(math.log10(min(values, default=1e-16)))
    high = max(math.ceil(math.log10(max(values, default=1.0))), low + 1)

    def place(value: float) -> float:
        share = (math.log10(max(value, SMALLEST)) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    step = max(1, (high - low) // 5)
    parts = [_tick(place(10.0**k), f"1e{k}") for k in range(low, high + 1, step)]
    room = (WIDTH - LEFT - RIGHT) / max(len(plot.labels), 1)
    for name, series in plot.series.items():
        for i, value in enumerate(series):
            x = LEFT + (i + 0.5) * room
            wrong = value is None or (plot.bound is not None and value > plot.bound)
            y = place(10.0**high if value is None else value)
            shown = "not finite" if value is None else f"{value:.2g}"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" class="{"bad" if wrong else "point"}">'
                f"<title>{escape(plot.labels[i])}, {escape(name)}: {shown}</title></circle>"
            )
    if plot.bound:
        y = place(plot.bound)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="bound"/>'
            f'<text x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end" class="bound">'
            f"bound {plot.bound:g}</text>"
        )
    return "".join(parts)


def _tick(y: float, text: str) -> str:
    return (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )
