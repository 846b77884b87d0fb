"""The verdict as one HTML page: the verdict first, then each check, the sample, the environment.

A function of the verdict alone, so that the page can be made again from the JSON file.
"""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from tsa_model.equivalence.page.charts import draw
from tsa_model.equivalence.results import CheckResult, Measurement, Verdict

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
N_SHOWN = 12
"""Measurements of a check shown at first; the others fold away."""
TIMES = "\N{MULTIPLICATION SIGN}"


def render(verdict: Verdict) -> str:
    """The page of a verdict, complete in itself."""
    title = "Equivalent" if verdict.passed else "Not proven equivalent"
    style = "ok" if verdict.passed else "bad"
    meaning = (
        "The network that will be exported computes what the reference computes. The model may leave."
        if verdict.passed
        else "The model must not leave: the run was stopped and nothing was exported."
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head><body>
<div class="verdict {style}"><h1>{"✓" if verdict.passed else "✗"} {title}</h1><p>{escape(meaning)}</p>
<p>{escape(_sentence(verdict.reason))}</p></div>
{_facts(verdict)}
{_overview(verdict)}
{"".join(_check(check) for check in verdict.checks)}
{_sample(verdict)}
{_folded("Configuration", "Settings of the judged network", verdict.config)}
{_folded("Environment", "What the comparison ran on", verdict.environment)}
</body></html>
"""


def _folded(title: str, summary: str, content: dict[str, Any]) -> str:
    return f"<h2>{title}</h2><details><summary>{summary}</summary>{_pairs(content)}</details>"


def _facts(verdict: Verdict) -> str:
    facts = {
        "Weights": verdict.weights_sha256[:16] or "unknown",
        "Data": verdict.store_digest[:16] or "unknown",
        "Verdict": verdict.verdict_id[:16],
        "Rows compared": str(verdict.sample.get("rows", 0)),
        "Judged": str(verdict.environment.get("time", "")),
        "Took": f"{verdict.seconds:.0f} s",
    }
    items = "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts.items())
    return f'<div class="facts">{items}</div>'


def _overview(verdict: Verdict) -> str:
    rows = "".join(_overview_row(check) for check in verdict.checks)
    return f"""<h2>The checks</h2>
<table class="overview"><tr><th></th><th>Check</th><th>Asks</th><th>Closest to its bound</th>
<th class=n>Value</th><th class=n>Bound</th><th class=n>Margin</th></tr>{rows}</table>
<p class="note">Margin: how many times the measured value fits below its bound.</p>"""


def _overview_row(check: CheckResult) -> str:
    worst = worst_of(check)
    cells = "<td></td><td></td><td></td><td></td>"
    if worst is not None:
        cells = (
            f"<td>{_tensor(worst.name)}</td><td class=n>{_value(worst)}</td><td class=n>{_bound(worst)}</td>"
            f"<td class=n>{_margin(worst)}</td>"
        )
    style, mark = ("ok", "✓") if check.passed else ("bad", "✗ FAILED")
    return (
        f'<tr class="{style}"><td class="mark">{mark}</td>'
        f'<td><a href="#check{check.number}">{check.number}&#160;{escape(check.name)}</a></td>'
        f"<td>{escape(check.question)}</td>{cells}</tr>"
    )


def worst_of(check: CheckResult) -> Measurement | None:
    """The measurement that failed, or the one closest to failing."""
    failed = [m for m in check.measurements if not m.passed]
    if failed:
        return failed[0]
    bounded = [m for m in check.measurements if m.margin is not None and m.bound]
    return min(bounded, key=lambda m: m.margin or 0.0, default=next(iter(check.measurements), None))


def _check(check: CheckResult) -> str:
    ordered = sorted(check.measurements, key=_urgency)
    shown, hidden = ordered[:N_SHOWN], ordered[N_SHOWN:]
    notes = "".join(f'<p class="note">{escape(_sentence(note))}</p>' for note in check.notes)
    more = (
        f"<details><summary>{len(hidden)} more measurements</summary>{_table(hidden)}</details>"
        if hidden
        else ""
    )
    style, word = ("ok", "passed") if check.passed else ("bad", "FAILED")
    return f"""<section class="check {style}" id="check{check.number}">
<h2>{check.number} {escape(check.name)} <span class="mark">{word}</span></h2>
<p class="question">{escape(check.question)}</p><p class="reason">{escape(_sentence(check.reason))}</p>
{notes}{_table(shown) if shown else ""}{more}{"".join(draw(plot) for plot in check.plots)}
</section>"""


def _urgency(measurement: Measurement) -> tuple[int, float]:
    """Failed ones first, then by margin, then what is only reported."""
    if not measurement.passed:
        return 0, 0.0
    return (1, measurement.margin) if measurement.margin is not None else (2, 0.0)


def _table(measurements: list[Measurement]) -> str:
    rows = "".join(
        f'<tr class="{"ok" if m.passed else "bad"}"><td>{_tensor(m.name)}</td><td class=n>{_value(m)}</td>'
        f"<td class=n>{_bound(m)}</td><td class=n>{_margin(m)}</td><td>{_tensor(m.where)}</td>"
        f'<td class="mark">{"✓" if m.passed else "✗"}</td></tr>'
        for m in measurements
    )
    return f"""<table><tr><th>Measured</th><th class=n>Value</th><th class=n>Bound</th><th class=n>Margin</th>
<th>Worst at</th><th></th></tr>{rows}</table>"""


def _tensor(name: str) -> str:
    """A name of many parts, which may go on in the next line after each dot."""
    return escape(name).replace(".", ".<wbr>")


def _value(measurement: Measurement) -> str:
    return "not finite" if measurement.value is None else f"{measurement.value:.3g}"


def _bound(measurement: Measurement) -> str:
    if measurement.bound is None:
        return "reported"
    return f"{'≤' if measurement.relation == '<=' else '≥'}&#160;{measurement.bound:.3g}"


def _margin(measurement: Measurement) -> str:
    margin = measurement.margin
    if margin is None or not measurement.passed:
        return ""
    if math.isinf(margin):
        return "∞"
    return f"{margin:.2g}&#160;{TIMES}" if margin < 100 else f"{margin:.0e}&#160;{TIMES}"


def _sample(verdict: Verdict) -> str:
    sample = verdict.sample
    if not sample:
        return ""
    coverage = {name: f"{count} real rows" for name, count in sample["coverage"].items()}
    edges = ", ".join(name.removeprefix("edge: ") for name in sample["edge_cases"])
    return f"""<h2>The rows</h2><p>{sample["real_rows"]} real orders, chosen so that every kind that occurs is
among them, and {len(sample["edge_cases"])} generated edge cases.
Digest <code>{escape(sample["digest"])}</code>.</p>
<details><summary>What they cover</summary>{_pairs(coverage)}<p class="note">Edge cases: {escape(edges)}.</p>
</details>"""


def _pairs(content: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{_content(value)}</td></tr>" for name, value in content.items()
    )
    return f"<table>{rows}</table>"


def _content(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{escape(str(k))} {escape(str(v))}" for k, v in value.items())
    if isinstance(value, list):
        return "<br>".join(escape(str(item)) for item in value)
    return f"<code>{escape(str(value))}</code>"


def _sentence(text: str) -> str:
    """Text with a capital first letter and a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
