"""Calibration: from raw scores to percentiles and probabilities."""

from __future__ import annotations

import json
from pathlib import Path

from numpy.typing import ArrayLike

from tsa_model.calibration.percentile import PercentileMap
from tsa_model.calibration.prior import PriorCorrection
from tsa_model.calibration.simple import Isotonic, Platt
from tsa_model.calibration.spline import MonotoneSpline

__all__ = [
    "Calibrator",
    "Isotonic",
    "MonotoneSpline",
    "PercentileMap",
    "Platt",
    "PriorCorrection",
    "fit_calibrator",
    "load_calibrator",
]

Calibrator = MonotoneSpline | Isotonic | Platt | PriorCorrection
FITTED: dict[str, type[MonotoneSpline] | type[Isotonic] | type[Platt]] = {
    "spline": MonotoneSpline,
    "isotonic": Isotonic,
    "platt": Platt,
}


def fit_calibrator(method: str, score: ArrayLike, label: ArrayLike) -> Calibrator:
    """Fit the calibrator of that name (spline, isotonic, platt); see its `fit`."""
    if method not in FITTED:
        raise ValueError(f"calibration method {method!r} is not one of {', '.join(FITTED)}")
    return FITTED[method].fit(score, label)


def load_calibrator(path: str | Path) -> Calibrator:
    """Load the calibrator saved at `path`; without a method it is a spline, as the legacy writes it."""
    method = json.loads(Path(path).read_text(encoding="utf-8")).get("method", "spline")
    if method == "prior":
        return PriorCorrection.load(path)
    if method not in FITTED:
        raise ValueError(f"{path}: calibration method {method!r} is not one of prior, {', '.join(FITTED)}")
    return FITTED[method].load(path)
