from __future__ import annotations

import re
from pathlib import Path

import pytest

from data_contracts.findings import Example, Finding
from data_contracts.report import write_report
from tsa_model.sealed import with_seal

RESULT = {
    "contract": "raw events",
    "subject": "<script>alert(1)</script>.csv",
    "dataset": "small",
    "passed": True,
    "rows": 1_000,
    "bad_rows": 0,
}


def page(path: Path, *findings: Finding, **parts: object) -> str:
    result = RESULT | {"findings": [finding.as_json() for finding in findings]} | parts
    write_report(path, with_seal(result))
    return path.read_text(encoding="utf-8")


KEPT = Finding("every amount is finite", "amount", 1_000)
BROKEN = Finding(
    "every label is 0 or 1", "label", 1_000, 7, tuple(Example(2.0, f"<u>{k}</u>", k) for k in range(7))
)
WARNING = Finding("fraud is as frequent as in training", severity="warn", detail="test: 3.1")


@pytest.mark.parametrize(
    ("findings", "kind", "verdict"),
    [
        ([KEPT], "ok", "The contract holds"),
        ([KEPT, WARNING], "warn", "The contract holds, with warnings"),
        ([KEPT, WARNING, BROKEN], "stop", "The contract is broken"),
    ],
)
def test_the_verdict_comes_first(tmp_path: Path, findings: list, kind: str, verdict: str) -> None:
    text = page(tmp_path / "report.html", *findings)
    body = text[text.index("<main>") :]
    assert body.startswith(f'<main>\n<div class="verdict {kind}"><h1>{verdict}</h1>')


def test_the_culprit_is_shown_with_count_and_examples(tmp_path: Path) -> None:
    text = page(tmp_path / "report.html", BROKEN)
    assert "Not so: every label is 0 or 1" in text
    assert '<span class="count">7</span>' in text
    assert "of 1,000 rows" in text
    assert "order &lt;u&gt;0&lt;/u&gt;" in text
    assert "and 2 more" in text


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    long = Finding("every shop is short", "shop", 1, 1, (Example("x" * 300, 5),))
    assert "x" * 80 + "…</code> order 5" in page(tmp_path / "report.html", long)
    assert str(long).endswith("x…" + " (order 5)")


def test_tables_are_shown(tmp_path: Path) -> None:
    table = {"title": "Histories", "columns": ["period", "targets"], "rows": [["<b>", "1,234"]]}
    text = page(tmp_path / "report.html", KEPT, tables=[table])
    assert "<h2>Histories</h2>" in text
    assert '<td>&lt;b&gt;</td><td class="n" data-name="targets">1,234</td>' in text


def test_nothing_from_the_data_becomes_markup_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = page(tmp_path / "report.html", BROKEN, WARNING, ignored_columns=["<i>x</i>"], columns=[])
    assert "<script" not in text
    assert "<u>" not in text
    assert "<i>x" not in text
    assert not re.search(r"(src|href)=|https?://|@import|url\(", text)


def test_drift_is_sorted_and_shaded(tmp_path: Path) -> None:
    def entry(feature: str, psi: float) -> dict:
        return {"feature": feature, "period": "test", "psi": psi, "noise": 0.001, "unknown_rate": 0.0}

    levels = {"psi_warn": 0.1, "unknown_warn": 0.05}
    drift = [entry("calm", 0.002), entry("wild", 0.4)]
    text = page(tmp_path / "r.html", KEPT, drift=drift, drift_levels=levels)
    assert text.index("<code>wild</code>") < text.index("<code>calm</code>")
    assert len(re.findall(r'class="cell alarm"', text)) == 1
    assert "background:rgba(179,38,30,0.22)" in text
