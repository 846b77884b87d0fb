"""Monotone cubic B-spline logistic regression of the label on the score (TSA spec, section 14)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.bezier import BezierPieces, bezier_pieces, monotone_values
from tsa_model.calibration.checks import checked_score, checked_score_and_label
from tsa_model.calibration.documents import Document, number, numbers, read_as
from tsa_model.files import write_json

FloatArray = NDArray[np.float64]

DEGREE = 3
MIN_ROWS = 1000
MIN_POSITIVES = 10
SCORE_DECIMALS = 6
SMOOTHNESS = 1e-10
# Scores at or below this many per knot interval do not earn a knot of their own.
MAX_POINTS_MERGED = 10
# Ten levels towards each of these starts, so the rare high scores get knots as well.
DENSE_FROM = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
MAX_ITERATIONS = 200
# Between two iterations no fitted probability moves more than this at the end.
PROBABILITY_TOLERANCE = 1e-9


@dataclass(frozen=True)
class MonotoneSpline:
    """A non-decreasing map from score to probability: expit of a B-spline with sorted coefficients.

    Where the lowest (highest) scores hold no positives (negatives), the likelihood has no maximum: the
    first (last) coefficients run off and only the curve, which tends to 0 (1) there, is determined.
    `BoundedCalibrator` keeps such a probability at a bound that the counts justify.
    """

    knots: FloatArray
    """Clamped knot vector on [0, 1]."""
    coefficients: FloatArray
    """One per basis function, non-decreasing."""
    degree: int = DEGREE

    @classmethod
    def fit(cls, score: ArrayLike, label: ArrayLike) -> MonotoneSpline:
        """Fit by iteratively reweighted least squares under the monotonicity constraint.

        Args:
            score: [N] raw scores in [0, 1].
            label: [N] 0 or 1.

        Raises:
            ValueError: fewer than 1000 rows or 10 positives (or no negatives), too few distinct scores to
                place a knot, or values outside their range.
        """
        scores, labels = checked_score_and_label(score, label, MIN_ROWS, MIN_POSITIVES)
        scores = as_fitted(scores)
        knots = place_knots(scores)
        distinct, group = np.unique(scores, return_inverse=True)
        rows = np.bincount(group).astype(np.float64)
        positives = np.bincount(group, weights=labels).astype(np.float64)
        return cls(knots=knots, coefficients=_maximise_likelihood(distinct, rows, positives, knots))

    def probability(self, score: ArrayLike) -> FloatArray:
        """Calibrated probability of each score, in [0, 1]; scores ≤ 0 give 0 and scores ≥ 1 give 1."""
        from scipy.interpolate import BSpline
        from scipy.special import expit

        scores = checked_score(score)
        inside = scores.clip(0.0, 1.0).ravel()
        basis = BSpline.design_matrix(inside, self.knots, self.degree)
        shape = (inside.size, self.degree + 1)
        piece = self.coefficients[basis.indices.reshape(shape)]
        low, high = piece[:, 0], piece[:, -1]
        # Measured from the piece's lowest coefficient, which keeps the rounding error of the rise small.
        rise = (basis.data.reshape(shape) * (piece - low[:, None])).sum(axis=1)
        inner = expit((low + rise).clip(low, high)).reshape(scores.shape)
        return np.where(scores <= 0.0, 0.0, np.where(scores >= 1.0, 1.0, inner))

    def curve(self, score: ArrayLike) -> FloatArray:
        """The same curve in [0, 1] without the jumps at scores 0 and 1, and never decreasing by rounding.

        Raises:
            ValueError: the spline is not cubic.
        """
        if self.degree != DEGREE:
            raise ValueError(f"degree {self.degree}: a spline is held inside bounds only when it is cubic")
        scores = checked_score(score)
        inside = np.minimum(np.maximum(scores, 0.0), 1.0).ravel()
        values = monotone_values(inside.item() if inside.size == 1 else inside, self._pieces)
        return np.reshape(_expit()(values), scores.shape)

    @cached_property
    def _pieces(self) -> BezierPieces:
        return bezier_pieces(self.knots, self.coefficients)

    def document(self) -> dict[str, Any]:
        """The parameters under the legacy's names: coefficients, knots, degree, status."""
        return {
            "coefficients": self.coefficients.tolist(),
            "knots": self.knots.tolist(),
            "degree": self.degree,
            "status": "Success",
        }

    def save(self, path: str | Path) -> None:
        """Write the document as JSON."""
        write_json(path, self.document())

    @classmethod
    def load(cls, path: str | Path) -> MonotoneSpline:
        """Read what `save` wrote.

        Raises:
            ValueError: the status is not Success, or the parameters do not make a monotone spline.
        """
        return read_as(cls.of_document, path)

    @classmethod
    def of_document(cls, document: Document) -> MonotoneSpline:
        """The spline of a document; raises ValueError as `load` does."""
        if document.get("status") != "Success":
            raise ValueError(f"calibration status is {document.get('status')!r:.80}, not 'Success'")
        knots, coefficients = numbers(document, "knots"), numbers(document, "coefficients")
        degree = int(number(document, "degree"))
        if degree < 0 or knots.size != coefficients.size + degree + 1 or (np.diff(knots) < 0).any():
            raise ValueError(
                f"{knots.size} knots do not fit {coefficients.size} coefficients of degree {degree}, "
                "or are not sorted"
            )
        # Files written with few digits may be out of order by their rounding.
        drop = -np.diff(coefficients, prepend=coefficients[0])
        if (drop > 1e-6 * np.maximum(1.0, np.abs(coefficients))).any():
            raise ValueError(f"coefficients decrease by up to {drop.max():.3g}; the curve is not monotone")
        return cls(knots=knots, coefficients=np.maximum.accumulate(coefficients), degree=degree)


@cache
def _expit() -> Callable[[FloatArray | float], FloatArray]:
    """SciPy's; imported when it is needed, and once."""
    from scipy.special import expit

    return expit


def as_fitted(scores: FloatArray) -> FloatArray:
    """Scores in the resolution that `MonotoneSpline.fit` sees."""
    return scores.round(SCORE_DECIMALS)


def place_knots(scores: FloatArray) -> FloatArray:
    """Clamped knots at score quantiles, dense towards the highest scores, and at every tenth.

    A knot that closes an interval of at most ten points is dropped; the last remaining one moves to 1.

    Args:
        scores: [N] in [0, 1].

    Raises:
        ValueError: no interior knot remains.
    """
    evenly = 100 if scores.size > 10**6 else 20 if scores.size < 10**4 else 50
    levels = [np.linspace(0.0, 1.0, evenly + 1)] + [np.linspace(start, 1.0, 10) for start in DENSE_FROM]
    interior = np.quantile(scores, np.unique(np.concatenate(levels)))[1:-1].round(8)
    edges = np.unique(np.concatenate([interior, np.linspace(0.0, 1.0, 11)]))
    points_inside, _ = np.histogram(scores[~np.isin(scores, edges)], bins=edges)
    kept = edges[1:][points_inside > MAX_POINTS_MERGED]
    if kept.size < 2:
        raise ValueError(
            f"{np.unique(scores).size} distinct scores between {scores.min()} and {scores.max()} are too few "
            "to place a knot; use Platt scaling or bring more data"
        )
    return np.concatenate([np.zeros(DEGREE + 1), kept[:-1], np.ones(DEGREE + 1)])


def _maximise_likelihood(
    x: FloatArray, rows: FloatArray, positives: FloatArray, knots: FloatArray
) -> FloatArray:
    """Coefficients of the monotone logistic spline; x [n] distinct scores, rows and positives at each."""
    from scipy.interpolate import BSpline
    from scipy.special import expit

    basis = BSpline.design_matrix(x, knots, DEGREE)
    size = basis.shape[1]
    curvature = np.diff(np.eye(size), 2, axis=0)
    penalty = SMOOTHNESS * curvature.T @ curvature
    rate = positives.sum() / rows.sum()
    coefficients = np.full(size, np.log(rate / (1.0 - rate)))
    fitted = np.full(x.size, rate)

    def loss(coefficients: FloatArray) -> float:
        eta = basis @ coefficients
        curved = coefficients @ penalty @ coefficients
        return float(rows @ np.logaddexp(0.0, eta) - positives @ eta + 0.5 * curved)

    for _ in range(MAX_ITERATIONS):
        # Saturated rows keep a little weight, or the quadratic would be singular.
        mean = fitted.clip(1e-9, 1.0 - 1e-9)
        weight = rows * mean * (1.0 - mean)
        quadratic = (basis.T @ basis.multiply(weight[:, None])).toarray() + penalty
        linear = basis.T @ (positives - rows * mean + weight * (basis @ coefficients))
        target = _solve_monotone(quadratic, linear)
        coefficients = _search_along(loss, coefficients, target)
        previous, fitted = fitted, expit(basis @ coefficients)
        if np.abs(fitted - previous).max() < PROBABILITY_TOLERANCE:
            break
    return coefficients


def _solve_monotone(quadratic: FloatArray, linear: FloatArray) -> FloatArray:
    """Minimise ½ b'Qb − l'b over non-decreasing b: bounded least squares in the increments of b."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import lsq_linear

    factor = cholesky(quadratic)
    cumulative = np.tril(np.ones_like(quadratic))
    lower = np.zeros(linear.size)
    lower[0] = -np.inf
    increments = lsq_linear(
        factor @ cumulative,
        solve_triangular(factor, linear, trans="T"),
        bounds=(lower, np.inf),
        method="bvls",
        tol=1e-14,
    ).x
    increments[1:] = increments[1:].clip(0.0)
    return np.cumsum(increments)


def _search_along(loss: Callable[[FloatArray], float], start: FloatArray, target: FloatArray) -> FloatArray:
    """Best monotone point on the ray from start through target.

    The step is halved until the loss falls, or doubled while it still falls: coefficients that run off
    get there in few iterations.
    """
    direction = target - start
    best, best_loss, step = start, loss(start), 1.0
    while step > 1e-6 and loss(start + step * direction) > best_loss:
        step /= 2.0
    while True:
        candidate = start + step * direction
        if (np.diff(candidate) < 0).any() and step > 1.0:
            return best
        candidate_loss = loss(candidate)
        if not candidate_loss < best_loss:
            return best
        best, best_loss, step = candidate, candidate_loss, step * 2.0
