"""The figures of the model report, computed again from the score files alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.proof.statement import Statement, about_files

FloatArray = NDArray[np.float64]

CLOSE = 1e-9
"""Sums of float64 in another order."""
NOT_IN_THE_FILES = ("amount_recall@",)
"""Figures that need more than the score files hold."""
CARDS = {
    "ROC AUC": "auc",
    "Average precision": "average_precision",
    "Recall at 1 % alerts": "recall@1.0%",
    "Calibration error": "ece",
}
"""Figure of the report's first lines → its name in the metrics."""
BINS = 20
RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)


def check_figures(
    metrics: Mapping[str, Any], page: str | None, files: Mapping[str, ScoreFile], alert_rate: float
) -> list[Statement]:
    """Hold the figures of a run against its score files.

    Args:
        metrics: what the run wrote as `metrics.json`.
        page: the model report as HTML; None = there is none to look at.
        files: period → its file; "cali" and "test" are needed.
        alert_rate: share of the calibration period's orders above the alert threshold.
    """
    expected = _counts(files) | _thresholds(metrics, files["cali"], alert_rate)
    found = {
        **{f"orders, {name}": value for name, value in metrics["orders"].items()},
        **{f"frauds, {name}": value for name, value in metrics["frauds"].items()},
        **{f"threshold {name}": value for name, value in metrics["thresholds"].items()},
    }
    test = files["test"]
    if 0 < int(test.label.sum()) < len(test):
        expected |= test_figures(test, metrics["thresholds"])
        values = {name: figure["value"] for name, figure in metrics.get("test", {}).items()}
        found |= {name: value for name, value in values.items() if not name.startswith(NOT_IN_THE_FILES)}
    statements = [
        about_files("the figures are those of the score files", _differences(found, expected)),
        about_files("the ROC curve is that of the score file", _roc(metrics.get("roc"), test)),
    ]
    if page is not None:
        statements.append(about_files("the report shows these figures", _shown(page, files, expected)))
    return statements


def read_metrics(path: Path) -> dict[str, Any]:
    """The content of `metrics.json`."""
    return json.loads(path.read_text(encoding="utf-8"))


def test_figures(file: ScoreFile, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Every figure of a period that its score file alone decides."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, label = file.score.astype(np.float64), file.label.astype(np.float64)
    found = {
        "auc": float(roc_auc_score(label, score)),
        "average_precision": float(average_precision_score(label, score)),
    }
    found |= _found_among_top(score, label)
    for name, threshold in thresholds.items():
        found |= {f"{figure}@{name}": value for figure, value in _decisions(score, label, threshold).items()}
    if file.probability is not None:
        found["brier"] = float(np.mean((file.probability - label) ** 2))
        found["mean_probability"] = float(file.probability.mean())
        found["ece"] = _calibration_error(file.probability, label)
    return found


def _found_among_top(score: FloatArray, label: FloatArray) -> dict[str, float]:
    """Share of fraud among the highest-scored shares of orders; a tie is cut as chance would cut it."""
    values, place, counts = np.unique(-score, return_inverse=True, return_counts=True)
    alerts = np.append(0, np.cumsum(counts))
    frauds = np.append(0, np.cumsum(np.bincount(place, weights=label, minlength=len(values))))
    return {
        f"recall@{rate:.1%}": float(np.interp(rate * len(score), alerts, frauds) / frauds[-1])
        for rate in RATES
    }


def _decisions(score: FloatArray, label: FloatArray, threshold: float) -> dict[str, float]:
    alert, n = score >= threshold, len(score)
    hits, alerts, frauds = float(label[alert].sum()), float(alert.sum()), float(label.sum())
    rest = n - alerts - (frauds - hits)
    shares = {
        "precision": (hits, alerts),
        "recall": (hits, frauds),
        "f1": (2 * hits, alerts + frauds),
        "specificity": (rest, n - frauds),
        "accuracy": (hits + rest, float(n)),
        "alert_rate": (alerts, float(n)),
    }
    return {name: part / whole for name, (part, whole) in shares.items() if whole > 0}


def _calibration_error(probability: FloatArray, label: FloatArray) -> float:
    """Mean distance of probability and share of fraud, over bins of equally many orders with whole ties."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1))[1:-1])
    place = np.searchsorted(edges, probability, side="left")
    gap = np.bincount(place, weights=label - probability)
    return float(np.abs(gap).sum() / len(label))


def _counts(files: Mapping[str, ScoreFile]) -> dict[str, float]:
    orders = {f"orders, {name}": float(len(file)) for name, file in files.items()}
    return orders | {f"frauds, {name}": float(file.label.sum()) for name, file in files.items()}


def _thresholds(metrics: Mapping[str, Any], cali: ScoreFile, alert_rate: float) -> dict[str, float]:
    """The thresholds that the calibration period's file gives."""
    from sklearn.metrics import precision_recall_curve

    score = np.sort(cali.score.astype(np.float64))[::-1]
    n_alerts = int(alert_rate * len(score))
    lowest = score[max(0, n_alerts - 1)]
    if n_alerts == 0 or (n_alerts < len(score) and score[n_alerts] == lowest):
        lowest = np.nextafter(lowest, np.inf)  # at this score itself there would be too many alerts
    found = {f"threshold alert_rate_{alert_rate:g}": float(lowest)}
    if 0 < cali.label.sum() < len(cali):
        precision, recall, threshold = precision_recall_curve(cali.label, cali.score.astype(np.float64))
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        best = threshold[np.isclose(f1[:-1], f1[:-1].max(), rtol=1e-12, atol=0)]
        stated = metrics["thresholds"].get("best_f1", math.nan)
        # Several thresholds can be equally good; any of them will do.
        found["threshold best_f1"] = float(best[np.abs(best - stated).argmin()])
    return found


def _differences(found: Mapping[str, float], expected: Mapping[str, float]) -> str:
    """In words; empty where there is none."""
    missing = sorted(expected.keys() ^ found.keys())
    wrong = [
        f"{name} is stated as {found[name]:.9g}, the files give {value:.9g}"
        for name, value in expected.items()
        if name in found and not math.isclose(found[name], value, rel_tol=CLOSE, abs_tol=CLOSE)
    ]
    if missing:
        wrong.insert(0, f"stated on one side only: {', '.join(missing[:5])}")
    return "; ".join(wrong[:5])


def _roc(curve: Mapping[str, list[float]] | None, file: ScoreFile) -> str:
    """What is wrong with a ROC curve; every one of its points is counted again."""
    frauds = int(file.label.sum())
    if not 0 < frauds < len(file):
        return "" if not curve else "there is one, though the labels hold one class only"
    if not curve:
        return "there is none"
    score = file.score.astype(np.float64)
    for label, name, total in ((1, "true", frauds), (0, "false", len(file) - frauds)):
        ordered = np.sort(score[file.label == label])
        at_least = len(ordered) - np.searchsorted(ordered, curve["threshold"], side="left")
        differs = np.abs(at_least / total - np.array(curve[f"{name}_positive_rate"])).max()
        if not differs <= CLOSE:
            return f"{name} positive rates differ by up to {differs:.3g}"
    return ""


def _shown(page: str, files: Mapping[str, ScoreFile], expected: Mapping[str, float]) -> str:
    """What the report shows otherwise than the files give, in words."""
    text = re.sub(r"\s+", " ", page)
    scored, frauds = len(files["test"]), int(files["test"].label.sum())
    counts = f"<p>{scored:,} orders of the test period were scored once each; {frauds:,} of them"
    wanted = {"the number of orders": counts}
    for words, name in CARDS.items():
        if name in expected:
            wanted[words] = f"<span>{words}</span><b>{expected[name]:.4f}</b>"
    return "; ".join(f"{words}: expected {text_!r}" for words, text_ in wanted.items() if text_ not in text)
