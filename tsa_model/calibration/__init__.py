"""Calibration: from raw scores to percentiles and probabilities."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike
from pydantic import ValidationError

from tsa_model.calibration.bounded import BoundedCalibrator, Curve
from tsa_model.calibration.bounds import Bounds
from tsa_model.calibration.documents import Document, read_as
from tsa_model.calibration.percentile import PercentileMap
from tsa_model.calibration.prior import PriorCorrection
from tsa_model.calibration.simple import Isotonic, Platt
from tsa_model.calibration.spline import MonotoneSpline
from tsa_model.settings.base import in_words

__all__ = [
    "BoundedCalibrator",
    "Bounds",
    "Calibrator",
    "Isotonic",
    "MonotoneSpline",
    "PercentileMap",
    "Platt",
    "PriorCorrection",
    "fit_calibrator",
    "load_calibrator",
]

Calibrator = BoundedCalibrator | Curve
LEGACY = "legacy"
FITTED: dict[str, type[MonotoneSpline] | type[Isotonic] | type[Platt]] = {
    "spline": MonotoneSpline,
    "isotonic": Isotonic,
    "platt": Platt,
    LEGACY: MonotoneSpline,
}
SAVED: dict[str, type[MonotoneSpline] | type[Isotonic] | type[Platt] | type[PriorCorrection]] = {
    "prior": PriorCorrection,
    "spline": MonotoneSpline,
    "isotonic": Isotonic,
    "platt": Platt,
}


def fit_calibrator(method: str, score: ArrayLike, label: ArrayLike) -> Calibrator:
    """Fit the calibrator of that name; see its `fit`.

    Args:
        method: spline, isotonic, platt, each held inside the bounds that the counts justify; legacy is the
            spline without bounds, which may give exactly 0 and 1.
        score: [N] raw scores in [0, 1].
        label: [N] 0 or 1.

    Raises:
        ValueError: there is no such method, or too little data for it.
    """
    if method not in FITTED:
        raise ValueError(f"calibration method {method!r} is not one of {', '.join(FITTED)}")
    fitted = FITTED[method].fit(score, label)
    return fitted if method == LEGACY else BoundedCalibrator.fit(fitted, score, label)


def load_calibrator(path: str | Path) -> Calibrator:
    """Load the calibrator saved at `path`; without a method it is a spline, as the legacy writes it.

    A document without bounds (of the legacy, of an older model folder) gives the numbers it gave before.

    Raises:
        ValueError: the document is damaged, or of another method.
    """
    return read_as(_of_document, path)


def _of_document(document: Document) -> Calibrator:
    method = document.get("method", "spline")
    if not isinstance(method, str) or method not in SAVED:
        raise ValueError(f"calibration method {method!r:.80} is not one of {', '.join(SAVED)}")
    curve = SAVED[method].of_document(document)
    if "bounds" not in document:
        return curve
    try:
        return BoundedCalibrator(curve, Bounds.model_validate(document["bounds"], strict=True))
    except ValidationError as error:
        raise ValueError(f"bounds: {in_words(error, Bounds)}") from None
