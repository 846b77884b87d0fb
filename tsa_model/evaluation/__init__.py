"""Evaluation: figures with intervals, curves, and a rival to stand beside the model."""

from tsa_model.evaluation.equal_treatment import EqualTreatment, equal_treatment
from tsa_model.evaluation.groups import Groups, SliceRule
from tsa_model.evaluation.intervals import Interval, Period, evaluate
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
from tsa_model.evaluation.rival import score_rival, score_trees
from tsa_model.evaluation.slice_figures import GroupFigures, evaluate_slices, group_figures
from tsa_model.evaluation.slicing import fitted_slices, slice_orders

__all__ = [
    "EqualTreatment",
    "GroupFigures",
    "Groups",
    "Interval",
    "Period",
    "Ranking",
    "SliceRule",
    "best_f1_threshold",
    "calibration_error",
    "equal_treatment",
    "evaluate",
    "evaluate_slices",
    "fitted_slices",
    "group_figures",
    "missing_class",
    "probability_figures",
    "reliability_bins",
    "roc_points",
    "score_rival",
    "score_trees",
    "slice_orders",
    "threshold_for_rate",
]
