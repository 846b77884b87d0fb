"""Which orders a model learns from and is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tsa_model.events.units import DAY_US, UNKNOWN_LABEL, to_us
from tsa_model.sequences.features.stopped import passing_weights, repetitions
from tsa_model.settings.dataset import PERIODS, DatasetDescription


@dataclass
class Targets:
    """Row numbers per period, and how often fraud occurred before and after downsampling."""

    rows: dict[str, np.ndarray]
    """Period → [n] int32, in time order."""
    prior: float | None
    """Share of fraud among the training targets as they occurred; None without training targets."""
    sampled_prior: float | None
    """The same after downsampling; scores of a model trained on it are corrected with the two."""


def select_targets(
    time_us: np.ndarray,
    label: np.ndarray,
    description: DatasetDescription,
    numbers: Mapping[str, np.ndarray] | None = None,
    known_us: np.ndarray | None = None,
) -> Targets:
    """Split the labelled orders by time, weight those of training, and downsample the training negatives.

    Args:
        time_us: [N] int64, ascending.
        label: [N] int8, -1 = not yet known.
        description: the split, the label delay, the target rate, and the policy that stopped orders.
        numbers: column → [N] float64; those of the policy are looked at.
        known_us: [N] int64, from when on labels are known; None = the label delay after the order.
    """
    stopping = description.stopping
    if stopping is not None and stopping.decision is not None and numbers is not None:
        label = np.where(np.asarray(numbers[stopping.decision]) == 1, UNKNOWN_LABEL, label)
    delay_us = round(description.label_delay_days * DAY_US)
    made_us = to_us(description.split.test_start)
    rows = {}
    for period in PERIODS:
        start_us, end_us = (to_us(moment) for moment in description.split.window(period))
        if period != "test" and known_us is None:
            end_us = min(end_us, made_us - delay_us + 1)
        first, last = np.searchsorted(time_us, [start_us, max(start_us, end_us)])
        usable = label[first:last] != UNKNOWN_LABEL
        if period != "test" and known_us is not None:
            usable &= known_us[first:last] <= made_us
        rows[period] = (np.flatnonzero(usable) + first).astype(np.int32)
    if stopping is not None and stopping.weight_training and numbers is not None:
        # A training target that stands for 2.4 orders is there twice or three times.
        probability = np.asarray(numbers[stopping.probability])[rows["train"]]
        weight = passing_weights(probability, stopping)
        times = repetitions(weight, np.random.default_rng(description.sampling_seed))
        rows["train"] = np.repeat(rows["train"], times)
    prior = _share_of_fraud(label, rows["train"])
    if description.target_positive_rate is not None:
        rows["train"] = _downsample(
            rows["train"], label, description.target_positive_rate, description.sampling_seed
        )
    return Targets(rows, prior, _share_of_fraud(label, rows["train"]))


def _share_of_fraud(label: np.ndarray, rows: np.ndarray) -> float | None:
    return float(np.mean(label[rows])) if len(rows) else None


def _downsample(rows: np.ndarray, label: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Keep every fraud and as many genuine orders as make frauds `rate` of all; never more than there are."""
    is_fraud = label[rows] == 1
    genuine = rows[~is_fraud]
    n_kept = min(len(genuine), round(is_fraud.sum() * (1 - rate) / rate))
    if is_fraud.sum() == 0:
        return rows
    kept = np.random.default_rng(seed).choice(genuine, n_kept, replace=False)
    return np.sort(np.concatenate([rows[is_fraud], kept]))
