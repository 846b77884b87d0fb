"""Percentile and probability of every scored order, from other formulas (docs/MODEL.md, section 14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration import fit_calibrator
from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.proof.statement import Statement, about_files, about_orders

FloatArray = NDArray[np.float64]
Curve = Callable[[ArrayLike], FloatArray]

CLOSE = 1e-9
"""Two ways to evaluate the same curve in float64: a spline's coefficients may be in the hundreds."""
ENTRIES = 1000
SMALLEST = 1e-9
"""Platt scaling takes log-odds of scores no nearer to 0 and 1."""


def percentile_curve(path: Path) -> Curve:
    """Score → percentile, of a saved percentile map."""
    table = np.array(json.loads(path.read_text(encoding="utf-8"))["table"], np.float64)

    def percentile(score: ArrayLike) -> FloatArray:
        scores = np.asarray(score, np.float64)
        below = np.searchsorted(table[:, 0], scores, side="left")  # entries that are smaller than the score
        found = np.append(table[:, 1], 1.0)[below]
        return np.where(scores <= 0, 0.0, np.where(scores >= 1, 1.0, found))

    return percentile


def probability_curve(path: Path) -> Curve:
    """Score → calibrated probability, of a saved calibrator."""
    document = json.loads(path.read_text(encoding="utf-8"))
    curve = CURVES[document.get("method", "spline")](document)
    bounds = document.get("bounds")
    if bounds is not None:
        return lambda score: np.clip(curve(score), bounds["low"], bounds["high"])
    if document.get("method", "spline") == "spline":
        return lambda score: np.where(
            np.asarray(score) <= 0, 0.0, np.where(np.asarray(score) >= 1, 1.0, curve(score))
        )
    return curve


def _spline(document: Mapping[str, Any]) -> Curve:
    from scipy.interpolate import BSpline
    from scipy.special import expit

    coefficients = np.maximum.accumulate(np.array(document["coefficients"], np.float64))
    spline = BSpline(np.array(document["knots"], np.float64), coefficients, int(document["degree"]))
    return lambda score: expit(spline(np.clip(np.asarray(score, np.float64), 0.0, 1.0)))


def _isotonic(document: Mapping[str, Any]) -> Curve:
    return lambda score: np.interp(
        np.asarray(score, np.float64), document["scores"], document["probabilities"]
    )


def _platt(document: Mapping[str, Any]) -> Curve:
    def probability(score: ArrayLike) -> FloatArray:
        inside = np.clip(np.asarray(score, np.float64), SMALLEST, 1 - SMALLEST)
        log_odds = np.log(inside) - np.log1p(-inside)
        return 1.0 / (1.0 + np.exp(-(document["slope"] * log_odds + document["intercept"])))

    return probability


def _prior(document: Mapping[str, Any]) -> Curve:
    more = document["prior"] / document["sampled_prior"]
    less = (1.0 - document["prior"]) / (1.0 - document["sampled_prior"])

    def probability(score: ArrayLike) -> FloatArray:
        scores = np.asarray(score, np.float64)
        return scores * more / (scores * more + (1.0 - scores) * less)

    return probability


CURVES: dict[str, Callable[[Mapping[str, Any]], Curve]] = {
    "spline": _spline,
    "isotonic": _isotonic,
    "platt": _platt,
    "prior": _prior,
}


def check_calibrated(file: ScoreFile, percentile: Curve | None, probability: Curve | None) -> list[Statement]:
    """Hold the percentiles and probabilities of a file against the curves of the model folder.

    Args:
        file: one period.
        percentile: None where the model folder has no percentile map.
        probability: None where it has no calibrator.
    """
    pairs = (
        ("percentile", file.percentile, percentile, 0.0),
        ("calibrated probability", file.probability, probability, CLOSE),
    )
    return [
        _compare(f"every {name} is the one of the order's score", file, found, curve, allowed)
        for name, found, curve, allowed in pairs
    ]


def _compare(
    sentence: str, file: ScoreFile, found: FloatArray | None, curve: Curve | None, allowed: float
) -> Statement:
    if found is None or curve is None:
        nowhere = (found is None and curve is None) or not len(file)
        lacking = "the file" if found is None else "the model folder"
        return about_files(sentence, "" if nowhere else f"{file.period}: {lacking} has none")
    expected = curve(file.score)
    wrong = ~(np.abs(found - expected) <= allowed)
    return about_orders(
        sentence,
        file.order_id,
        wrong,
        lambda place: f"the file has {found[place]:.9g}, its score gives {expected[place]:.9g}",
    )


def check_fitted(
    cali: ScoreFile, method: str, percentile: Curve, probability: Curve | None
) -> list[Statement]:
    """Hold the curves of the model folder against the calibration period's own score file.

    Args:
        cali: scores and labels that the curves must have been fitted on.
        method: of the calibrator, as the run description names it.
        percentile: the saved map.
        probability: the saved calibrator; None where there is none.
    """
    quantiles = np.quantile(cali.score.astype(np.float64), np.arange(ENTRIES) / ENTRIES)
    grid = np.unique(np.concatenate([quantiles, np.nextafter(quantiles, 2.0), np.linspace(0, 1, ENTRIES)]))
    places = np.append(np.arange(ENTRIES) / ENTRIES, 1.0)[np.searchsorted(quantiles, grid, side="left")]
    expected = np.where(grid <= 0, 0.0, np.where(grid >= 1, 1.0, places))
    differs = float(np.abs(percentile(grid) - expected).max())
    sentences = ("the percentile map", "the calibrator")
    statements = [
        about_files(
            f"{sentences[0]} is the one of the calibration period's scores",
            f"percentiles differ by up to {differs:.3g}" if differs else "",
        )
    ]
    if method == "prior":
        return statements
    try:
        fitted = fit_calibrator(method, cali.score, cali.label).probability(grid)
        detail = "the model folder has none" if probability is None else _far(probability(grid), fitted)
    except ValueError as error:
        detail = "" if probability is None else f"the calibration period allows none: {error}"
    return [*statements, about_files(f"{sentences[1]} is the one of the calibration period's scores", detail)]


def _far(found: FloatArray, fitted: FloatArray) -> str:
    differs = float(np.abs(found - fitted).max())
    return f"probabilities differ by up to {differs:.3g}" if differs > CLOSE else ""
