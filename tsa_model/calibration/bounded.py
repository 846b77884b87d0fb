"""Any calibrator, held between the probabilities that the counts justify."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.bounds import Bounds
from tsa_model.calibration.prior import PriorCorrection
from tsa_model.calibration.simple import Isotonic, Platt
from tsa_model.calibration.spline import MonotoneSpline, as_fitted
from tsa_model.files import write_json

Curve = MonotoneSpline | Isotonic | Platt | PriorCorrection


@dataclass(frozen=True)
class BoundedCalibrator:
    """A calibrator's curve, cut off at two bounds strictly inside (0, 1).

    Cutting off keeps the curve non-decreasing, and as it was between the bounds.
    """

    calibrator: Curve
    bounds: Bounds

    @classmethod
    def fit(cls, calibrator: Curve, score: ArrayLike, label: ArrayLike) -> BoundedCalibrator:
        """Bound a calibrator by the counts of the orders it was fitted on; see `Bounds.of_labels`.

        Args:
            calibrator: fitted.
            score: [N] raw scores in [0, 1].
            label: [N] 0 or 1, both present.
        """
        scores, labels = np.asarray(score, np.float64), np.asarray(label, np.float64)
        if isinstance(calibrator, MonotoneSpline):
            scores = as_fitted(scores)
        return cls(calibrator, Bounds.of_labels(scores, labels, lambda places: _curve(calibrator, places)))

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probability of each score, in [bounds.low, bounds.high]."""
        return np.minimum(np.maximum(_curve(self.calibrator, score), self.bounds.low), self.bounds.high)

    def document(self) -> dict[str, Any]:
        """The calibrator's own document with the bounds beside it."""
        return {**self.calibrator.document(), "bounds": self.bounds.model_dump()}

    def save(self, path: str | Path) -> None:
        """Write the document as JSON; `load_calibrator` reads it."""
        write_json(path, self.document())


def _curve(calibrator: Curve, score: ArrayLike) -> NDArray[np.float64]:
    # The spline's probability jumps to 0 and 1 at the ends, whatever was counted there.
    return (
        calibrator.curve(score) if isinstance(calibrator, MonotoneSpline) else calibrator.probability(score)
    )
