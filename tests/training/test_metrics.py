from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tsa_model.training.metrics import classification_metrics

ALL = ("auroc", "pr_auc", "accuracy", "precision", "recall", "f1")


def two_columns(score: list[float]) -> np.ndarray:
    p = np.array(score)
    return np.stack([1 - p, p], axis=1)


def test_four_rows_by_hand() -> None:
    # Ranked by score: fraud, genuine, fraud, genuine; 0.6 and above are called fraud.
    values = classification_metrics(np.array([1, 0, 1, 0]), two_columns([0.9, 0.7, 0.6, 0.1]), ALL)
    assert values["auroc"] == pytest.approx(3 / 4)  # pairs in the right order
    assert values["pr_auc"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert values["accuracy"] == pytest.approx(3 / 4)
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(1.0)
    assert values["f1"] == pytest.approx(0.8)


def test_tied_scores_count_half() -> None:
    assert classification_metrics(np.array([1, 0]), two_columns([0.5, 0.5]), ["auroc"])["auroc"] == 0.5


def test_more_classes_are_averaged_one_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    p = rng.dirichlet(np.ones(3), 200)
    values = classification_metrics(labels, p, ALL)
    assert values["auroc"] == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"))
    assert values["pr_auc"] == pytest.approx(average_precision_score(np.eye(3)[labels], p, average="macro"))
    assert values["f1"] == pytest.approx(f1_score(labels, p.argmax(1), average="macro"))


def test_a_class_that_does_not_occur_is_left_out() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    assert classification_metrics(np.array([0, 1, 0]), p, ["auroc"])["auroc"] == 1.0


def test_auroc_of_one_class_is_not_defined() -> None:
    assert math.isnan(classification_metrics(np.zeros(3), two_columns([0.1, 0.2, 0.3]), ["auroc"])["auroc"])


def test_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="'auc' is not a metric"):
        classification_metrics(np.array([0, 1]), two_columns([0.1, 0.2]), ["auc"])
