"""Figures of each group of a slice with their intervals; a group that is too small is named, not measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tsa_model.evaluation.groups import MISSING, OTHER, Groups
from tsa_model.evaluation.intervals import Interval, Period, bootstrap, resampled_ece, resamples_for
from tsa_model.evaluation.metrics import (
    CALIBRATION_BINS,
    FloatArray,
    Ranking,
    auc,
    average_precision,
    decision_figures,
    reliability_bins,
)

FEWEST = 20
ORDERS_PER_BIN = 50
"""The calibration error of a small group has fewer bins: with few orders in each it would be all noise."""


@dataclass(frozen=True)
class GroupFigures:
    """What is known of one group."""

    orders: int
    frauds: int
    too_small: str = ""
    """Why there are no figures, in words; empty where there are."""
    figures: dict[str, Interval] = field(default_factory=dict)
    """`auc`, `average_precision`, and at the alert threshold `recall`, `precision`, `false_positive_rate` and
    `alert_rate`; with amounts `amount_recall`, with probabilities `ece`. No alert, no precision."""

    def plain(self) -> dict[str, Any]:
        """The same as JSON values: counts, `too_small` where it is so, and figure → value, low, high."""
        found: dict[str, Any] = {"orders": self.orders, "frauds": self.frauds}
        if self.too_small:
            found["too_small"] = self.too_small
        bounds = {
            name: {"value": one.value, "low": one.low, "high": one.high} for name, one in self.figures.items()
        }
        return found | bounds


def evaluate_slices(
    slices: Iterable[Groups],
    period: Period,
    threshold: float,
    fewest: int = FEWEST,
    n_resamples: int | None = None,
    seed: int = 0,
) -> dict[str, dict[str, GroupFigures]]:
    """Figures of every group of some slices.

    Args:
        slices: of the period's orders.
        period: scored orders with known labels; see `Period.of`.
        threshold: orders with this score or a higher one are alerts.
        fewest: frauds, and genuine orders, that a group must have.
        n_resamples: bootstrap samples; None = by the number of the group's orders.
        seed: of the resampling.

    Returns:
        Slice → group → figures. Groups for missing and other values are left out where they are empty.
    """
    found: dict[str, dict[str, GroupFigures]] = {}
    for one in slices:
        found[one.name] = {}
        for group in one.groups:
            chosen = one.members(group)
            if chosen.any() or group not in (MISSING, OTHER):
                part = period.where(chosen)
                found[one.name][group] = group_figures(part, threshold, fewest, n_resamples, seed)
    return found


def group_figures(
    period: Period, threshold: float, fewest: int = FEWEST, n_resamples: int | None = None, seed: int = 0
) -> GroupFigures:
    """Figures of some orders at an alert threshold; see `evaluate_slices`."""
    n_orders, n_frauds = period.labels.size, int(period.labels.sum())
    words = too_small(n_orders, n_frauds, fewest)
    if words:
        return GroupFigures(n_orders, n_frauds, words)
    generator = np.random.default_rng(seed)
    n_resamples = resamples_for(n_orders) if n_resamples is None else n_resamples
    figures = bootstrap(period, partial(_figures, threshold=threshold), n_resamples, generator)
    if period.chances is not None:
        n_bins = min(CALIBRATION_BINS, max(1, n_orders // ORDERS_PER_BIN))
        bins = reliability_bins(period.chances, period.labels, n_bins, period.weights)
        figures["ece"] = resampled_ece(bins, n_resamples, generator)
    return GroupFigures(n_orders, n_frauds, figures=figures)


def too_small(orders: int, frauds: int, fewest: int = FEWEST) -> str:
    """Why a group has no figures, in words; empty where it has enough of both classes."""
    if not orders:
        return "no orders"
    if frauds < fewest:
        return f"{frauds:,} fraud{'' if frauds == 1 else 's'}, fewer than {fewest}"
    genuine = orders - frauds
    return f"{genuine:,} genuine orders, fewer than {fewest}" if genuine < fewest else ""


def _figures(period: Period, ranking: Ranking, weight: FloatArray, threshold: float) -> dict[str, float]:
    fraud, genuine = ranking.counts(weight)
    found = {"auc": float(auc(fraud, genuine)), "average_precision": float(average_precision(fraud, genuine))}
    at = decision_figures(period.scores, period.labels, threshold, weight)
    found |= {name: at[name] for name in ("recall", "precision") if name in at}
    if "specificity" in at:
        found["false_positive_rate"] = 1.0 - at["specificity"]
    found["alert_rate"] = at["alert_rate"]
    if period.amounts is not None:
        valued = weight * period.amounts * (period.labels == 1)
        if valued.sum() > 0:
            found["amount_recall"] = float(valued[period.scores >= threshold].sum() / valued.sum())
    return found


def measured(found: Mapping[str, Mapping[str, GroupFigures]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Slice → group → JSON values."""
    return {name: {group: one.plain() for group, one in groups.items()} for name, groups in found.items()}
