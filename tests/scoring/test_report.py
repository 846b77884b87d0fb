"""The model report, without any model."""

from __future__ import annotations

from typing import Any

from support.pages import table_lines

from tsa_model.scoring.pictures import Picture
from tsa_model.scoring.report import render_report

EVIL = "<script>alert(1)</script>"
COUNTS = {"orders": {"vali": 200, "test": 1_000}, "frauds": {"vali": 10, "test": 50}}


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def report(metrics: dict[str, Any]) -> str:
    pictures = [Picture("curves.png", f"Ranking {EVIL}", f"Caption {EVIL}", b"png")]
    return render_report(EVIL, COUNTS | metrics, pictures, {f"run {EVIL}": EVIL})


def test_every_figure_is_on_the_page_and_nothing_becomes_markup() -> None:
    test = {
        "auc": figure(0.8),
        "average_precision": figure(0.5),
        "ece": figure(0.15),
        "recall@1.0%": figure(0.2),
        "recall@5.0%": figure(0.4),
        "amount_recall@1.0%": figure(0.3),
        "precision@best_f1": figure(0.6),
    }
    trees = {name: figure(0.7) for name in ("auc", "average_precision", "recall@1.0%")}
    rivals = {"baseline": trees, "boosted_trees": trees}
    groups = {
        "DE": {"orders": 9, "frauds": 3, "auc": figure(0.6)},
        EVIL: {"orders": 2, "frauds": 0, "too_small": "x"},
    }
    slices = {"slices": {"country": groups}}
    page = report({"test": test, "thresholds": {"best_f1": 0.25}, **rivals, **slices})
    lines = table_lines(page)
    for line in (
        "| ROC AUC | 0.8000 | 0.7000 to 0.9000 |",
        "| expected calibration error | 0.1500 | 0.0500 to 0.2500 |",
        "| Share of frauds found at an alert rate | value | 95 % |",
        "| 5.0% | 0.4000 | 0.3000 to 0.5000 |",
        "| Share of fraudulent amount found at an alert rate | value | 95 % |",
        "| Alerts at score ≥ 0.25 (best f1) | value | 95 % |",
        "| precision | 0.6000 | 0.5000 to 0.7000 |",
        "| test | 1,000 | 50 | 5.00% |",
        f"| boosted trees (LightGBM) {3 * '| 0.7000 [0.6000, 0.8000] '}|",
        f"| {EVIL} | 2 | 0 | too small: x |",
        f"| run {EVIL} | {EVIL} |",
    ):
        assert line in lines
    assert "frauds: 0.4 at 5" in page
    assert "fraudulent amount: 0.3 at 1" in page
    assert page.count('class="card"') == 5
    assert "<script" not in page


def test_a_period_of_one_class_is_said_to_have_no_figures() -> None:
    page = report({"frauds": {"vali": 10, "test": 0}})
    assert "no fraud among the 1,000 test labels" in page
    assert "Figures of the test period" not in page
    assert "| vali | 200 | 10 | 5.00% |" in table_lines(page)
