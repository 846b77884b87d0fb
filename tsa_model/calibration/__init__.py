"""Calibration: from raw scores to percentiles and probabilities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from numpy.typing import ArrayLike

from tsa_model.calibration.percentile import PercentileMap
from tsa_model.calibration.prior import correct_prior
from tsa_model.calibration.simple import Isotonic, Platt
from tsa_model.calibration.spline import MonotoneSpline

__all__ = [
    "Calibrator",
    "Isotonic",
    "MonotoneSpline",
    "PercentileMap",
    "Platt",
    "correct_prior",
    "fit_calibrator",
    "load_calibrator",
]

Calibrator = MonotoneSpline | Isotonic | Platt
Method = Literal["spline", "isotonic", "platt"]
METHODS: dict[str, type[MonotoneSpline] | type[Isotonic] | type[Platt]] = {
    "spline": MonotoneSpline,
    "isotonic": Isotonic,
    "platt": Platt,
}


def fit_calibrator(method: Method, score: ArrayLike, label: ArrayLike) -> Calibrator:
    """Fit the calibrator of that name; see its `fit`."""
    if method not in METHODS:
        raise ValueError(f"calibration method {method!r} is not one of {', '.join(METHODS)}")
    return METHODS[method].fit(score, label)


def load_calibrator(path: str | Path) -> Calibrator:
    """Load the calibrator saved at `path`; without a method it is a spline, as the legacy writes it."""
    method = json.loads(Path(path).read_text(encoding="utf-8")).get("method", "spline")
    if method not in METHODS:
        raise ValueError(f"{path}: calibration method {method!r} is not one of {', '.join(METHODS)}")
    return METHODS[method].load(path)
