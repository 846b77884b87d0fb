"""Evaluation: figures with intervals, curves, and a rival to stand beside the model."""

from tsa_model.evaluation.intervals import Interval, evaluate
from tsa_model.evaluation.metrics import (
    Ranking,
    best_f1_threshold,
    calibration_error,
    missing_class,
    reliability_bins,
    roc_points,
    threshold_for_rate,
)
from tsa_model.evaluation.probabilities import probability_figures
from tsa_model.evaluation.rival import score_rival

__all__ = [
    "Interval",
    "Ranking",
    "best_f1_threshold",
    "calibration_error",
    "evaluate",
    "missing_class",
    "probability_figures",
    "reliability_bins",
    "roc_points",
    "score_rival",
    "threshold_for_rate",
]
