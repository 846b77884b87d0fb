"""The page of a comparison, without any model."""

from __future__ import annotations

from datetime import datetime

from support.pages import table_lines

from tsa_model.promotion.comparison import Comparison, Condition, ModelIdentity, PairedDifference
from tsa_model.promotion.page import render_comparison

EVIL = "<script>alert(1)</script>"
MODEL = ModelIdentity(digest="aa", onnx_sha256="bb", weights_sha256="cc", verdict_id=EVIL)
WORSE = PairedDifference(
    challenger=0.9, champion=0.93, difference=-0.03, low=-0.041, high=-0.019, margin=0.005
)
PROOFS = (Condition(name="gate", passed=True, reason=f"verdict {EVIL}"),)


def test_a_worse_challenger_is_shown_with_both_models_and_the_figures() -> None:
    comparison = Comparison(
        challenger=MODEL,
        champion=MODEL.changed(digest="dd"),
        period=(datetime(2026, 1, 1), datetime(2026, 2, 1)),
        rows=12_345,
        frauds=321,
        figures={"auc": WORSE, EVIL: WORSE},
        checks=(*PROOFS, Condition(name="auc", passed=False, reason="0.9 against 0.93")),
    )
    page = render_comparison(comparison, "not promoted", "AUC -0.0300")
    assert page.index("not promoted</h1>") < page.index("AUC -0.0300") < page.index("The checks")
    assert "12,345 orders, 321 of them fraud, 2026-01-01 00:00 to 2026-02-01 00:00 UTC" in page
    lines = table_lines(page)
    assert "| ✗ | auc | **no** | 0.9 against 0.93 |" in lines
    assert "| ROC AUC | 0.9000 | 0.9300 | -0.0300 | -0.0410 to -0.0190 | -0.0050 |" in lines
    assert "| model folder, SHA-256 | aa |" in lines
    assert "| model folder, SHA-256 | dd |" in lines
    assert page.count("<svg") == 1
    assert "<script" not in page


def test_without_a_champion_there_are_only_the_proofs() -> None:
    comparison = Comparison(challenger=MODEL, champion=None, checks=PROOFS)
    page = render_comparison(comparison, "may be promoted", "no champion to compare with, may be promoted")
    assert "No champion to compare with, may be promoted." in page
    assert f"| ✓ | gate | yes | verdict {EVIL} |" in table_lines(page)
    assert "<svg" not in page
    assert "<script" not in page
