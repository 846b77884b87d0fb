"""Whether genuine orders of one group are alerted more often than those of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.groups import Groups
from tsa_model.evaluation.intervals import RESAMPLES, TAILS, Period
from tsa_model.evaluation.metrics import threshold_for_rate
from tsa_model.evaluation.slice_figures import FEWEST, too_small
from tsa_model.settings import Settings


class RateRatio(Settings):
    """The smallest false-positive rate of a protected slice's groups over the largest; 1 = all alike."""

    ratio: float | None
    """None where no genuine order was alerted."""
    low: float | None
    """Bounds of its 95 % interval."""
    high: float | None
    thresholds: dict[str, float]
    """Group → the score from which its orders are alerts."""
    false_positive_rates: dict[str, float]
    """Group → share of its genuine orders that are alerted."""


class EqualTreatment(Settings):
    """A protected slice, its alerts chosen in two ways."""

    alert_rate: float
    """Share of all its orders that are alerted at the common threshold."""
    one_threshold: RateRatio
    """As alerts are raised: one threshold for all."""
    equal_alert_rate: RateRatio
    """Each group with a threshold of its own, so that in each the same share of orders is alerted."""
    too_small: tuple[str, ...] = ()
    """Groups that are left out."""


def equal_treatment(
    groups: Groups,
    period: Period,
    threshold: float,
    fewest: int = FEWEST,
    n_resamples: int = 5 * RESAMPLES,
    seed: int = 0,
) -> EqualTreatment | None:
    """Compare the false-positive rates of a slice's groups.

    Args:
        groups: a slice of the period's orders.
        period: scored orders with known labels.
        threshold: orders with this score or a higher one are alerts.
        fewest: frauds, and genuine orders, that a group must have.
        n_resamples: drawn rates of each group.
        seed: of the resampling.

    Returns:
        The ratios; None where fewer than two groups are large enough.
    """
    members: dict[str, NDArray[np.bool_]] = {}
    small = []
    for group in groups.groups:
        chosen = groups.members(group)
        if not chosen.any():
            continue
        if too_small(int(chosen.sum()), int(period.labels[chosen].sum()), fewest):
            small.append(group)
        else:
            members[group] = chosen
    if len(members) < 2:
        return None
    every = np.logical_or.reduce(list(members.values()))
    alert_rate = float((period.scores[every] >= threshold).mean())
    own = {group: threshold_for_rate(period.scores[chosen], alert_rate) for group, chosen in members.items()}
    common = dict.fromkeys(members, threshold)
    return EqualTreatment(
        alert_rate=alert_rate,
        one_threshold=_ratio(period, members, common, n_resamples, np.random.default_rng(seed)),
        equal_alert_rate=_ratio(period, members, own, n_resamples, np.random.default_rng(seed)),
        too_small=tuple(small),
    )


def _ratio(
    period: Period,
    members: dict[str, NDArray[np.bool_]],
    thresholds: dict[str, float],
    n_resamples: int,
    generator: np.random.Generator,
) -> RateRatio:
    rates, drawn = np.empty(len(members)), np.empty((n_resamples, len(members)))
    for place, (group, chosen) in enumerate(members.items()):
        kept = chosen & (period.labels == 0)
        is_alert, weight = period.scores[kept] >= thresholds[group], period.weights[kept]
        rates[place] = weight[is_alert].sum() / weight.sum()
        # Jeffreys' posterior: of a group without a false alert every bootstrap sample would be without one.
        count = weight.sum() ** 2 / (weight**2).sum()
        alerts = rates[place] * count
        drawn[:, place] = generator.beta(alerts + 0.5, count - alerts + 0.5, n_resamples)
    ratio, low, high = None, None, None
    if rates.any():
        ratio = float(rates.min() / rates.max())
        bounds = np.quantile(drawn.min(axis=1) / drawn.max(axis=1), TAILS)
        low, high = min(float(bounds[0]), ratio), max(float(bounds[1]), ratio)
    return RateRatio(
        ratio=ratio,
        low=low,
        high=high,
        thresholds=thresholds,
        false_positive_rates=dict(zip(members, rates.tolist(), strict=True)),
    )
