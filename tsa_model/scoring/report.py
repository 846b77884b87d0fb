"""The model report: one HTML page, complete in itself, about the model that scored."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tsa_model.scoring.pictures import Picture

_STYLE = """
:root { --ink: #1d2733; --soft: #5b6673; --line: #e3e7ec; --accent: #1f5fa8 }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #f6f7f9; margin: 0 }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px }
h1 { font-size: 25px; margin: 0 0 2px } h2 { font-size: 17px; margin: 0 0 8px }
p { margin: 0 0 10px; color: var(--soft) }
section, .card { background: #fff; border: 1px solid var(--line); border-radius: 8px }
section { padding: 18px 20px; margin-top: 18px }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px }
.cards { margin-top: 18px } .card { padding: 14px 16px }
.card b { display: block; font-size: 24px; font-weight: 650; color: var(--accent) }
.card span { color: var(--soft); font-size: 13px } .card small { color: var(--soft); display: block }
img { width: 100%; height: auto; display: block }
table { border-collapse: collapse; width: 100%; font-size: 13.5px }
th { text-align: left; color: var(--soft); font-weight: 600 }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code { font-size: 12.5px; word-break: break-all }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 0 36px }
.note { border-left: 3px solid #d1601f; padding-left: 10px }
"""

_FIGURE_NAMES = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "mean_probability": "mean calibrated probability",
}


def render_report(
    title: str, metrics: Mapping[str, Any], pictures: Sequence[Picture], facts: Mapping[str, str]
) -> str:
    """The page.

    Args:
        title: name of the data set.
        metrics: what `generate_scores` measured.
        pictures: in the order they are shown.
        facts: provenance, name → value.
    """
    parts = [
        f"<h1>Model report: {escape(title)}</h1>",
        f"<p>{_sentence(metrics)}</p>",
        _cards(metrics),
        *(_section(picture) for picture in pictures),
    ]
    if "test" in metrics:
        parts.append(_figures(metrics))
    parts += [_periods(metrics), _facts(facts)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Model report: {escape(title)}'
        f'</title><meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        f"</head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _sentence(metrics: Mapping[str, Any]) -> str:
    scored = metrics["orders"]["test"]
    frauds = metrics["frauds"]["test"]
    text = f"{scored:,} orders of the test period were scored once each; {frauds:,} of them are fraud."
    return escape(f"{text} Brackets hold the middle 95 % of a bootstrap over orders.")


def _cards(metrics: Mapping[str, Any]) -> str:
    if "test" not in metrics:
        return '<p class="note">The test period holds one class only: no figure can be computed.</p>'
    test, baseline = metrics["test"], metrics["baseline"]
    chosen = [
        ("ROC AUC", test["auc"], "test period"),
        ("Average precision", test["average_precision"], "test period"),
        ("AUC of the baseline", baseline["auc"], "logistic regression on the order's own features"),
        ("Recall at 1 % alerts", test["recall@1.0%"], "share of frauds among the top 1 %"),
    ]
    if "ece" in test:
        chosen.append(("Calibration error", test["ece"], "calibrated probability against fraud"))
    cards = "".join(
        f'<div class="card"><span>{escape(name)}</span><b>{figure["value"]:.4f}</b>'
        f"<small>[{figure['low']:.4f}, {figure['high']:.4f}]</small><small>{escape(note)}</small></div>"
        for name, figure, note in chosen
    )
    return f'<div class="cards">{cards}</div>'


def _section(picture: Picture) -> str:
    encoded = base64.b64encode(picture.png).decode("ascii")
    return (
        f"<section><h2>{escape(picture.heading)}</h2><p>{escape(picture.caption)}</p>"
        f'<img alt="{escape(picture.heading)}" src="data:image/png;base64,{encoded}"></section>'
    )


def _figures(metrics: Mapping[str, Any]) -> str:
    test: Mapping[str, Mapping[str, float]] = metrics["test"]
    groups: dict[str, list[tuple[str, Mapping[str, float]]]] = {}
    for name, figure in test.items():
        kind, _, at = name.partition("@")
        if at and at not in metrics["thresholds"]:
            label = "frauds" if kind == "recall" else "fraudulent amount"
            groups.setdefault(f"Share of {label} found at an alert rate", []).append((at, figure))
        elif at:
            score = metrics["thresholds"][at]
            groups.setdefault(f"Alerts at score ≥ {score:.4g} ({at.replace('_', ' ')})", []).append(
                (kind.replace("_", " "), figure)
            )
        else:
            groups.setdefault("Ranking and probability", []).append((_FIGURE_NAMES.get(kind, kind), figure))
    tables = "".join(_table(heading, rows) for heading, rows in groups.items())
    return (
        "<section><h2>Figures of the test period</h2><p>Thresholds were chosen on the calibration period.</p>"
        f'<div class="columns">{tables}</div></section>'
    )


def _table(heading: str, rows: list[tuple[str, Mapping[str, float]]]) -> str:
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{figure["value"]:.4f}</td>'
        f'<td class="n">{figure["low"]:.4f} to {figure["high"]:.4f}</td></tr>'
        for name, figure in rows
    )
    return (
        f'<div><table><tr><th>{escape(heading)}</th><th class="n">value</th><th class="n">95 %</th></tr>'
        f"{lines}</table><br></div>"
    )


def _periods(metrics: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td>'
        f'<td class="n">{metrics["frauds"][name]:,}</td>'
        f'<td class="n">{metrics["frauds"][name] / count:.2%}</td></tr>'
        for name, count in metrics["orders"].items()
    )
    return (
        '<section><h2>Scored periods</h2><table><tr><th>period</th><th class="n">orders</th>'
        f'<th class="n">frauds</th><th class="n">share</th></tr>{rows}</table></section>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
        for name, value in facts.items()
    )
    return f"<section><h2>Where the scores come from</h2><table>{rows}</table></section>"
