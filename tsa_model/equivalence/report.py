"""The verdict as one HTML page: the verdict first, then a table per check, plots, environment."""

from __future__ import annotations

from html import escape

from tsa_model.equivalence.results import CheckResult, Measurement, Verdict

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-size: 14px }
td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #ddd }
.ok { color: #14702b } .bad { color: #b00020 }
.verdict { padding: 1rem 1.5rem; color: white; border-radius: 6px }
.verdict.ok { background: #14702b; color: white } .verdict.bad { background: #b00020; color: white }
code { word-break: break-all }
"""


def render(verdict: Verdict) -> str:
    """The page of a verdict, complete in itself."""
    word = "EQUIVALENT" if verdict.passed else "NOT PROVEN EQUIVALENT"
    style = "ok" if verdict.passed else "bad"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{word}</title><style>{_STYLE}</style></head><body>
<div class="verdict {style}"><h1>{word}</h1><p>{escape(verdict.reason)}</p></div>
<p>Weights <code>{escape(verdict.weights_sha256)}</code><br>Verdict <code>{verdict.verdict_id}</code></p>
{"".join(_check(check) for check in verdict.checks)}
</body></html>
"""


def _bound(measurement: Measurement) -> str:
    if measurement.bound is None:
        return "for information"
    return f"{'≤' if measurement.relation == '<=' else '≥'} {measurement.bound:g}"


def _check(check: CheckResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(m.name)}</td><td>{'not finite' if m.value is None else f'{m.value:.3g}'}</td>"
        f"<td>{_bound(m)}</td><td class={'ok' if m.passed else 'bad'}>"
        f"{'holds' if m.passed else 'FAILS'}</td><td>{escape(m.where)}</td></tr>"
        for m in check.measurements
    )
    style = "ok" if check.passed else "bad"
    word = "passed" if check.passed else "FAILED"
    return f"""<h2 class="{style}">{check.number} {escape(check.name)}: {word}</h2>
<p>{escape(check.question)}</p><p>{escape(check.reason)}.</p>
<table><tr><th>measured</th><th>value</th><th>bound</th><th></th><th>worst at</th></tr>{rows}</table>
"""
