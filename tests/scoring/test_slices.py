"""Slices and rivals in a scored run: what the metrics say, and what the page shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tsa_model.scoring import generate_scores


def measured(scores: Path) -> dict[str, Any]:
    return json.loads((scores / "metrics.json").read_text())


@pytest.fixture(scope="module")
def run_by_age(scored, tmp_path_factory):
    """The run scored again with a protected column that is no feature."""
    folder = tmp_path_factory.mktemp("slices")
    events = scored.events.assign(
        age=np.where(np.arange(len(scored.events)) % 3 == 0, "old", "young"),
    )
    slices = {"columns": [{"column": "age", "protected": True}], "fewest_frauds": 3}
    run = scored.run.changed(dataset=scored.run.dataset.changed(slices=slices))
    metrics = generate_scores(
        scored.store.directory, scored.onnx, run, folder / "scores", folder / "report.html", events
    )
    return metrics, events, folder


def test_figures_of_a_group_are_those_of_its_lines_in_the_score_file(scored, run_by_age) -> None:
    metrics, events, folder = run_by_age
    table = pd.read_parquet(folder / "scores" / "scores.parquet").merge(events[["order_id", "age"]])
    assert measured(folder / "scores")["slices"] == metrics["slices"]
    threshold = metrics["thresholds"]["alert_rate_0.01"]
    for group, rows in table.groupby("age"):
        found = metrics["slices"]["age"][group]
        assert found["orders"] == len(rows)
        assert found["frauds"] == rows.label.sum()
        assert found["auc"]["value"] == pytest.approx(roc_auc_score(rows.label, rows.score), abs=1e-12)
        assert found["alert_rate"]["value"] == pytest.approx((rows.score >= threshold).mean(), abs=1e-12)
        assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    assert sum(one["orders"] for one in metrics["slices"]["weekday"].values()) == len(table)
    assert set(metrics["protected"]["age"]["equal_alert_rate"]["thresholds"]) == {"old", "young"}


def test_the_report_shows_slices_and_names_those_that_are_too_small(scored, run_by_age) -> None:
    metrics, _, folder = run_by_age
    page = (folder / "report.html").read_text()
    small = [
        one["too_small"]
        for groups in metrics["slices"].values()
        for one in groups.values()
        if "too_small" in one
    ]
    assert small
    assert page.count("too small: ") == len(small)
    assert "<h3>age</h3>" in page
    assert "The smallest false-positive rate over the largest is" in page or "No genuine order is" in page
    assert f"{metrics['slices']['age']['old']['auc']['value']:.3f}" in page
    assert "<h3>age</h3>" not in scored.report.read_text()


def test_slices_by_columns_need_the_orders(scored, tmp_path) -> None:
    slices = {"columns": [{"column": "age"}]}
    run = scored.run.changed(dataset=scored.run.dataset.changed(slices=slices))
    with pytest.raises(ValueError, match="'age' is read from the orders"):
        generate_scores(scored.store.directory, scored.onnx, run, tmp_path / "s", tmp_path / "r")
    assert not (tmp_path / "s").exists()


def test_the_rivals_stand_beside_tsa_with_intervals(scored) -> None:
    page = scored.report.read_text()
    for name, words in (("boosted_trees", "boosted trees (LightGBM)"), ("baseline", "logistic regression")):
        for figure in ("auc", "average_precision", "recall@1.0%"):
            one = measured(scored.scores)[name][figure]
            assert one["low"] <= one["value"] <= one["high"]
            assert f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]" in page
        assert words in page


@pytest.mark.slow
def test_figures_are_weighted_where_a_policy_stopped_orders(scored, tmp_path) -> None:
    probability = np.linspace(0, 0.8, len(scored.events))
    events = scored.events.assign(p=np.random.default_rng(0).permutation(probability))
    run = scored.run.changed(dataset=scored.run.dataset.changed(stopping={"probability": "p"}))
    places = scored.store.directory, scored.onnx, run, tmp_path / "scores", tmp_path / "report.html"
    metrics = generate_scores(*places, events)
    assert metrics["test"] == measured(scored.scores)["test"]
    table = pd.read_parquet(tmp_path / "scores" / "scores.parquet").merge(events[["order_id", "p"]])
    weight = 1 / (1 - table.p)
    expected = roc_auc_score(table.label, table.score, sample_weight=weight)
    found = metrics["weighted"]
    assert found["figures"]["auc"]["value"] == pytest.approx(expected, abs=1e-9)
    assert found["orders"] == pytest.approx(weight.sum())
    assert found["effective_orders"] < len(table)
    page = (tmp_path / "report.html").read_text()
    assert "All orders, also those that were stopped" in page
    assert f"{found['figures']['auc']['value']:.4f} [" in page
    with pytest.raises(ValueError, match="column 'p' is read from the orders, but none were given"):
        generate_scores(*places[:3], tmp_path / "s", tmp_path / "r")
