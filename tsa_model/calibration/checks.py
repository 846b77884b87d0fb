"""Checks that every calibrator makes of its input."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_score(score: ArrayLike) -> NDArray[np.float64]:
    """Scores as float64, finite or refused."""
    scores = np.asarray(score, dtype=np.float64)
    if scores.size == 1 and math.isfinite(scores.item()):  # of an order that waits: sooner than below
        return scores
    if not np.isfinite(scores).all():
        bad = ~np.isfinite(scores)
        raise ValueError(f"{int(bad.sum())} of {scores.size} scores are not finite; score these rows again")
    return scores


def checked_score_and_label(
    score: ArrayLike, label: ArrayLike, min_rows: int, min_positives: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores [N] in [0, 1] and labels [N] in {0, 1} as float64.

    Raises:
        ValueError: shapes differ, values out of range, or too little data to calibrate on.
    """
    scores = checked_score(score)
    labels = np.asarray(label, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"score {scores.shape} and label {labels.shape} must be one-dimensional and equally long"
        )
    outside = (scores < 0.0) | (scores > 1.0)
    if outside.any():
        raise ValueError(f"{int(outside.sum())} scores are outside [0, 1], for example {scores[outside][0]}")
    odd = (labels != 0.0) & (labels != 1.0)
    if odd.any():
        raise ValueError(f"{int(odd.sum())} labels are neither 0 nor 1, for example {labels[odd][0]}")
    positives = int(labels.sum())
    if scores.size < min_rows or positives < min_positives:
        raise ValueError(
            f"too little data to calibrate: {scores.size} rows with {positives} positives; "
            f"at least {min_rows} rows and {min_positives} positives are needed"
        )
    if positives == scores.size:
        raise ValueError(f"all {scores.size} labels are 1: calibration needs negatives as well")
    return scores, labels
