"""What `metrics.json` says of a scored run: figures of the test period, its slices, and the rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.calibration import BoundedCalibrator, Calibrator
from tsa_model.evaluation import (
    Interval,
    Period,
    best_f1_threshold,
    equal_treatment,
    evaluate,
    evaluate_slices,
    probability_figures,
    roc_points,
    score_rival,
    score_trees,
    slice_orders,
    threshold_for_rate,
)
from tsa_model.evaluation.order_columns import ColumnKind, read_order_columns, store_amounts
from tsa_model.evaluation.slice_figures import measured
from tsa_model.scoring.pictures import ScoredPeriod
from tsa_model.sequences import SequenceStore
from tsa_model.sequences.features.stopped import passing_weights
from tsa_model.settings.run import RunConfig

RIVALS = {"baseline": score_rival, "boosted_trees": score_trees}
"""Name in the metrics → the model that stands beside TSA: trained on the same targets, scored on the same."""
RIVAL_FIGURES = ("auc", "average_precision", "recall@1.0%")


def measure(
    store: SequenceStore,
    periods: Mapping[str, ScoredPeriod],
    calibrator: Calibrator | None,
    run: RunConfig,
    events: Any = None,
) -> dict[str, Any]:
    """Figures of the test period at thresholds chosen on the calibration period.

    Args:
        store: the sequence store.
        periods: "vali", "cali" and "test".
        calibrator: None where there was too little to fit one on.
        run: the run description.
        events: the orders, for slices by columns that the store does not keep; None = not at hand.

    Returns:
        The content of `metrics.json`; without a fraud or without a genuine order in the test period there
        are counts and thresholds only.
    """
    cali, test = periods["cali"], periods["test"]
    alerts = alert_name(run)
    thresholds = {alerts: threshold_for_rate(cali.rows.score, run.scoring.alert_rate)}
    if 0 < cali.label.sum() < cali.label.size:
        thresholds["best_f1"] = best_f1_threshold(cali.rows.score, cali.label)
    metrics: dict[str, Any] = {
        "orders": {name: period.label.size for name, period in periods.items()},
        "frauds": {name: int(period.label.sum()) for name, period in periods.items()},
        "thresholds": thresholds,
    }
    probability = None if calibrator is None else calibrator.probability(test.rows.score)
    if calibrator is not None and probability is not None:
        metrics["probability"] = describe_probabilities(calibrator, probability, test.label)
    if not 0 < test.label.sum() < test.label.size:
        return metrics
    column = run.dataset.amount
    amount = None if column is None else store_amounts(store, store.targets("test"), column)
    weight = _weights(store, run, events)
    period = Period.of(test.rows.score, test.label, probability, amount, weight)
    metrics["test"] = _plain(evaluate(test.rows.score, test.label, probability, thresholds, amount))
    if weight is not None:
        metrics["weighted"] = _weighted(period, thresholds)
    metrics["roc"] = roc_points(test.rows.score, test.label)
    for name, score in RIVALS.items():
        figures = evaluate(score(store, "test"), test.label)
        metrics[name] = _plain({figure: figures[figure] for figure in RIVAL_FIGURES})
    return metrics | _slices(store, period, thresholds[alerts], run, events)


def alert_name(run: RunConfig) -> str:
    """Name of the alert threshold among the thresholds."""
    return f"alert_rate_{run.scoring.alert_rate:g}"


def _weights(store: SequenceStore, run: RunConfig, events: Any) -> NDArray[np.float64] | None:
    """How many orders each test order stands for; None where no policy stopped any."""
    stopping = run.dataset.stopping
    if stopping is None:
        return None
    if events is None:
        raise ValueError(f"the column {stopping.probability!r} is read from the orders, but none were given")
    kinds: dict[str, ColumnKind] = {stopping.probability: "number"}
    read = read_order_columns(events, run.dataset, kinds, store.order_ids("test"))
    return passing_weights(read[stopping.probability], stopping)


def _weighted(period: Period, thresholds: dict[str, float]) -> dict[str, Any]:
    """Figures of all orders, also of those that were stopped, as far as those that passed tell."""
    found = evaluate(
        period.scores, period.labels, period.chances, thresholds, period.amounts, weight=period.weights
    )
    weight = period.weights
    return {
        "orders": float(weight.sum()),
        "effective_orders": float(weight.sum() ** 2 / (weight**2).sum()),
        "largest_weight": float(weight.max()),
        "figures": _plain(found),
    }


def _slices(
    store: SequenceStore, period: Period, threshold: float, run: RunConfig, events: Any
) -> dict[str, Any]:
    fewest = run.dataset.slices.fewest_frauds
    slices = slice_orders(store, store.targets("test"), run.dataset, events)
    found: dict[str, Any] = {"slices": measured(evaluate_slices(slices, period, threshold, fewest))}
    treated = {one.name: equal_treatment(one, period, threshold, fewest) for one in slices if one.protected}
    if treated:
        found["protected"] = {
            name: None if one is None else one.model_dump(mode="json") for name, one in treated.items()
        }
    return found


def describe_probabilities(
    calibrator: Calibrator, probability: NDArray[np.float64], label: NDArray[np.int64]
) -> dict[str, Any]:
    """What the test period's probabilities are like, and the bounds they are held inside."""
    figures = probability_figures(probability, label)
    if isinstance(calibrator, BoundedCalibrator):
        low, high = calibrator.bounds.low, calibrator.bounds.high
        figures["bounds"] = calibrator.bounds.model_dump()
        figures["share_at_low"] = float((probability <= low).mean())
        figures["share_at_high"] = float((probability >= high).mean())
    return figures


def _plain(figures: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in figures.items()}
