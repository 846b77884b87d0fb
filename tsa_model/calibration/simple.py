"""The other two calibrators: isotonic regression and Platt scaling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.checks import checked_score, checked_score_and_label
from tsa_model.calibration.documents import Document, number, numbers, read_as
from tsa_model.files import write_json

MIN_POSITIVES = 10


@dataclass(frozen=True)
class Isotonic:
    """The non-decreasing steps that fit best, joined by straight lines."""

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @classmethod
    def fit(cls, score: ArrayLike, label: ArrayLike) -> Isotonic:
        """Fit; needs 1000 rows, because steps follow the noise of fewer.

        Args:
            score: [N] raw scores in [0, 1].
            label: [N] 0 or 1.

        Raises:
            ValueError: too little data, or values outside their range.
        """
        from sklearn.isotonic import IsotonicRegression

        scores, labels = checked_score_and_label(score, label, 1000, MIN_POSITIVES)
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, labels)
        return cls(
            np.asarray(model.X_thresholds_, dtype=np.float64), np.asarray(model.y_thresholds_, np.float64)
        )

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probability of each score, in [0, 1]."""
        return np.interp(checked_score(score), self.scores, self.probabilities)

    def document(self) -> dict[str, Any]:
        """The steps, as they are written."""
        content = {"scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}
        return {"method": "isotonic", **content}

    def save(self, path: str | Path) -> None:
        """Write the steps as JSON."""
        write_json(path, self.document())

    @classmethod
    def load(cls, path: str | Path) -> Isotonic:
        """Read what `save` wrote."""
        return read_as(cls.of_document, path)

    @classmethod
    def of_document(cls, document: Document) -> Isotonic:
        """The steps of a document.

        Raises:
            ValueError: they are no steps that rise.
        """
        scores, probabilities = numbers(document, "scores"), numbers(document, "probabilities")
        if (
            scores.size != probabilities.size
            or (np.diff(scores) < 0).any()
            or (np.diff(probabilities) < 0).any()
        ):
            raise ValueError(
                f"{scores.size} scores and {probabilities.size} probabilities do not make steps that rise"
            )
        return cls(scores, probabilities)


@dataclass(frozen=True)
class Platt:
    """A logistic curve over the score's log-odds; the least demanding of the three."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, score: ArrayLike, label: ArrayLike) -> Platt:
        """Fit by maximum likelihood; needs 100 rows.

        Args:
            score: [N] raw scores in [0, 1].
            label: [N] 0 or 1.

        Raises:
            ValueError: too little data, values outside their range, or scores that rank fraud lowest.
        """
        from sklearn.linear_model import LogisticRegression

        scores, labels = checked_score_and_label(score, label, 100, MIN_POSITIVES)
        model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(_log_odds(scores)[:, None], labels)
        slope = float(model.coef_[0, 0])
        if slope < 0:
            raise ValueError(
                f"the scores rank fraud below genuine orders (slope {slope:.3g}): not calibrated"
            )
        return cls(slope, float(model.intercept_[0]))

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probability of each score, in (0, 1)."""
        from scipy.special import expit

        return expit(self.slope * _log_odds(checked_score(score)) + self.intercept)

    def document(self) -> dict[str, Any]:
        """Slope and intercept, as they are written."""
        return {"method": "platt", "slope": self.slope, "intercept": self.intercept}

    def save(self, path: str | Path) -> None:
        """Write slope and intercept as JSON."""
        write_json(path, self.document())

    @classmethod
    def load(cls, path: str | Path) -> Platt:
        """Read what `save` wrote."""
        return read_as(cls.of_document, path)

    @classmethod
    def of_document(cls, document: Document) -> Platt:
        """The curve of a document; raises ValueError when a number is missing."""
        return cls(number(document, "slope"), number(document, "intercept"))


def _log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import logit

    return logit(scores.clip(1e-9, 1.0 - 1e-9))
