"""The figures that a promoted model carries along: how well it did on its own test period."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tsa_model.promotion.comparison import Comparison
from tsa_model.sealed import check_together, read_json
from tsa_model.settings import Settings

METRICS_FILE = "metrics.json"
CARRIED = ("auc", "average_precision", "recall@1.0%", "recall@5.0%")


class TestFigure(Settings):
    """One figure of the test period."""

    __test__ = False  # no test, whatever its name says

    value: float
    low: float | None = None
    """Bounds of its interval; None = none was computed."""
    high: float | None = None


def figures_of(challenger_dir: Path, comparison: Comparison) -> dict[str, TestFigure]:
    """The figures in the folder of scores that a model folder lies in; none where it lies alone.

    Args:
        challenger_dir: the model folder.
        comparison: names the scores that were compared.

    Raises:
        ValueError: the folder of scores was changed, or is not the compared one.
    """
    from tsa_model.scoring.files import MANIFEST_FILE, read_score_folder  # numpy

    scores = challenger_dir.resolve().parent
    if not (scores / MANIFEST_FILE).is_file() or "scores" not in comparison.evidence:
        return {}
    manifest = read_score_folder(scores)
    stated = ("the comparison", comparison.evidence["scores"])
    check_together("the scores are", (scores, manifest.sha256), stated, "compare again")
    if METRICS_FILE not in manifest.files:
        return {}
    test = read_json(scores / METRICS_FILE, "the metrics of scores").get("test", {})
    found = {name: _figure(test[name]) for name in CARRIED if name in test}
    return {name: figure for name, figure in found.items() if figure is not None}


def _figure(content: Any) -> TestFigure | None:
    """A figure as the metrics hold it: a number, or one with bounds."""
    fields = content if isinstance(content, dict) else {"value": content}
    numbers = {name: fields.get(name) for name in ("value", "low", "high")}
    good = {
        name: float(number)
        for name, number in numbers.items()
        if isinstance(number, (int, float)) and math.isfinite(number)
    }
    return TestFigure.model_validate(good) if "value" in good else None
