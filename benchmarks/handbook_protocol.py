"""The prequential protocol of the Fraud Detection Handbook: folds, what is tested, how it is measured.

A day is a whole number, days since 1970-01-01 (UTC). All arrays of a function are row-aligned, [N].
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TRAIN_DAYS = 7
DELAY_DAYS = 7
TEST_DAYS = 7
TOP_K = 100
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Fold:
    """Seven days of training, seven until their labels are known, seven of testing."""

    first_training_day: int

    @property
    def first_delay_day(self) -> int:
        """The day after the last whose labels may be trained on."""
        return self.first_training_day + TRAIN_DAYS

    @property
    def first_test_day(self) -> int:
        """The day on which the model is made."""
        return self.first_delay_day + DELAY_DAYS

    @property
    def test_end(self) -> int:
        """The day after the last one tested."""
        return self.first_test_day + TEST_DAYS

    @property
    def date(self) -> str:
        """The first training day, as people write it."""
        return (EPOCH + timedelta(days=self.first_training_day)).isoformat()


def make_folds(first_training_day: date, n_folds: int) -> list[Fold]:
    """The latest fold and the ones before it, each a test week earlier than the last."""
    latest = (first_training_day - EPOCH).days
    return [Fold(latest - k * TEST_DAYS) for k in range(n_folds)]


def training_rows(fold: Fold, day: Array, n_days: int = TRAIN_DAYS) -> Array:
    """Row numbers of the `n_days` days that end with the fold's training week, [n] int64."""
    return np.flatnonzero((day >= fold.first_delay_day - n_days) & (day < fold.first_delay_day))


def test_rows(fold: Fold, day: Array, customer: Array, label: Array) -> Array:
    """Row numbers of the test week without customers known to be compromised, [n] int64, day after day.

    A customer is known on the morning of a test day by a fraud between the first training day and the last
    day that is then a whole label delay old.
    """
    is_fraud = (label == 1) & (day >= fold.first_training_day)
    kept = []
    for test_day in range(fold.first_test_day, fold.test_end):
        known = np.unique(customer[is_fraud & (day < test_day - DELAY_DAYS)])
        today = np.flatnonzero(day == test_day)
        kept.append(today[~np.isin(customer[today], known)])
    return np.concatenate(kept)


def card_precision(day: Array, customer: Array, label: Array, score: Array, k: int = TOP_K) -> float:
    """Share of frauded customers among the `k` most suspicious ones of a day, mean over days.

    A customer is as suspicious as its highest score of the day; of equal ones the lower customer id comes
    first. A customer who was found is not looked at again on later days.
    """
    found = np.array([], dtype=customer.dtype)
    precision = []
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & ~np.isin(customer, found))
        customers, place = np.unique(customer[rows], return_inverse=True)
        highest = np.full(len(customers), -np.inf)
        np.maximum.at(highest, place, score[rows])
        is_frauded = np.zeros(len(customers), dtype=bool)
        np.logical_or.at(is_frauded, place, label[rows] == 1)
        top = np.argsort(-highest, kind="stable")[:k]
        caught = customers[top[is_frauded[top]]]
        precision.append(len(caught) / k)
        found = np.union1d(found, caught)
    return float(np.mean(precision))


def measure(day: Array, customer: Array, label: Array, score: Array) -> dict[str, float]:
    """The book's three metrics of one test week."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auc_roc": float(roc_auc_score(label, score)),
        "average_precision": float(average_precision_score(label, score)),
        "card_precision_at_100": card_precision(day, customer, label, score),
    }
