"""Reasons in the scoring stage: of the alerts, of frauds whose cause is known, and over all."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model import progress
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.file_names import REASONS_FILE
from tsa_model.pages import charts
from tsa_model.reasons.alerts import REASONS_TABLE, ExplainedRow, explain_rows, rank_sides, write_reasons
from tsa_model.reasons.dependence import Dependence, partial_dependence
from tsa_model.reasons.overview import MeanSize, Overview, overview
from tsa_model.reasons.truth import (
    CAUSES,
    DeletionFigures,
    Truth,
    TruthFigures,
    deletion_figures,
    truth_figures,
)
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.pictures import ScoredPeriod
from tsa_model.sequences import SequenceStore
from tsa_model.settings import Settings
from tsa_model.settings.run import RunConfig

if TYPE_CHECKING:
    from markupsafe import Markup

CAUGHT_OF_A_CAUSE = 25
"""Caught frauds of each cause that are explained where the truth is known."""
RANKED_OF_A_CAUSE = 200
"""Caught frauds of each cause whose sides alone are ranked: a share of 25 is uncertain."""
ORDINARY = 30
"""Orders of the period, evenly spread, that are explained for the view over all."""
SHOWN_ALERTS = 20


class ReasonsFigures(Settings):
    """The entry `reasons` of `metrics.json`."""

    alerts: int
    """Orders above the alert threshold."""
    explained: int
    """Of them."""
    rows_per_order: float
    """Scored for one explanation, on average."""
    deletion: DeletionFigures | None
    truth: TruthFigures | None
    """Null where the orders are not those that the run description simulates."""
    overview: Overview
    dependence: tuple[Dependence, ...] = ()


@dataclass(frozen=True)
class ReasonsSection:
    """What the report shows."""

    figures: ReasonsFigures
    alerts: list[tuple[str, str, str, str]]
    """Order, score, label, the strongest side in words."""


def explain_period(
    model: ScoringModel,
    store: SequenceStore,
    test: ScoredPeriod,
    thresholds: dict[str, float],
    run: RunConfig,
    folder: Path,
) -> ReasonsSection | None:
    """Explain the alerts of the test period and write `reasons.parquet`.

    Args:
        model: as exported.
        store: the sequence store.
        test: the scored period.
        thresholds: the first is the alerts'.
        run: the run description.
        folder: of the score files.

    Returns:
        None where there is nothing to explain with: no background, or no alert is wanted.
    """
    if not run.reasons.most_alerts or not _has_background(model):
        return None
    rows, truth = store.targets("test").astype(np.int64), _truth(store, run)
    places = _choose(store, rows, test, thresholds, truth, run.reasons.most_alerts)
    explained = dict.fromkeys([*places.alerts, *places.caught, *places.spread])
    everything = np.array(list(explained), dtype=np.int64)
    seconds, began, rules = 60 * run.reasons.most_minutes, time.monotonic(), model.rules()
    found = explain_rows(rules, store, rows[everything], show=_show, seconds=seconds)
    by_place = dict(zip(everything.tolist(), found, strict=False))
    alerts = [by_place[place] for place in places.alerts.tolist() if place in by_place]
    write_reasons(alerts, folder / REASONS_TABLE)
    left = seconds - (time.monotonic() - began)
    sides = rank_sides(rules, store, rows[places.ranked], left)
    seen = [by_place[place].explanation for place in places.caught.tolist() if place in by_place]
    is_fraud = test.label[everything[: len(found)]] == 1
    over_all = overview([each.explanation for each in found], is_fraud)
    figures = ReasonsFigures(
        alerts=places.n_alerts,
        explained=len(alerts),
        rows_per_order=float(np.mean([each.explanation.scored_rows for each in found])) if found else 0.0,
        deletion=deletion_figures(alerts),
        truth=None if truth is None else truth_figures(sides, seen, truth),
        overview=over_all,
        dependence=partial_dependence(rules, store, rows, [each.name for each in over_all.features]),
    )
    labels = dict(zip(everything.tolist(), test.label[everything].tolist(), strict=True))
    shown = [(by_place[place], labels[place]) for place in places.alerts.tolist() if place in by_place]
    return ReasonsSection(figures, [_line(each, label) for each, label in shown[:SHOWN_ALERTS]])


@dataclass(frozen=True)
class _Places:
    """Places among the orders of the test period."""

    n_alerts: int
    alerts: NDArray[np.int64]
    """The highest first, no more than are explained."""
    caught: NDArray[np.int64]
    """Frauds of each cause that are explained for the truth's sake."""
    ranked: NDArray[np.int64]
    """More such frauds, whose sides are ranked."""
    spread: NDArray[np.int64]
    """Of any orders."""


def _choose(
    store: SequenceStore,
    rows: NDArray[Any],
    test: ScoredPeriod,
    thresholds: dict[str, float],
    truth: Truth | None,
    most: int,
) -> _Places:
    score = test.rows.score
    alert = next(iter(thresholds.values()))
    alerted = np.lexsort((rows, -score))[: int((score >= alert).sum())]

    def caught(of_each: int) -> NDArray[np.int64]:
        return _caught(store, rows, test, min(thresholds.values()), truth, min(of_each, most))

    spread = np.unique(np.linspace(0, rows.size - 1, min(ORDINARY, most, rows.size)).astype(np.int64))
    return _Places(alerted.size, alerted[:most], caught(CAUGHT_OF_A_CAUSE), caught(RANKED_OF_A_CAUSE), spread)


def _show(done: int, total: int) -> None:
    progress.report(done, total, "order", "explained")


def _line(each: ExplainedRow, label: int) -> tuple[str, str, str, str]:
    it = each.explanation
    side = it.sides()[0]
    words = f"{side.words} ({side.contribution:+.1f})"
    return str(it.order_id), f"{it.score:.3f}", "fraud" if label == 1 else "genuine", words


def _has_background(model: ScoringModel) -> bool:
    path = model.directory / REASONS_FILE
    if not path.is_file():
        return False
    try:
        return bool(ReasonsDescription.load(model.directory).background)
    except ValueError:
        return False


def _truth(store: SequenceStore, run: RunConfig) -> Truth | None:
    """Why each order is what it is, where a store's orders are those that the run description simulates."""
    if run.simulation is None:
        return None
    from tsa_model.simulation import simulate_orders_and_causes

    table, causes = simulate_orders_and_causes(run.simulation)
    ids, times = table[run.dataset.order_id].to_numpy(), table[run.dataset.order_time].to_numpy()
    if ids.size != len(store) or store.ids_of(slice(0, 0)).dtype.kind != "i":
        return None
    rows = np.arange(len(store))
    same_ids = np.array_equal(store.ids_of(rows), ids)
    same_times = np.array_equal(store.times_of(rows).view(np.int64), times * 1_000_000)
    return Truth.of(ids.tolist(), causes) if same_ids and same_times else None


def _caught(
    store: SequenceStore,
    rows: NDArray[Any],
    test: ScoredPeriod,
    threshold: float,
    truth: Truth | None,
    of_each: int,
) -> NDArray[np.int64]:
    """Places of frauds above a threshold, some of every cause, evenly spread over time."""
    if truth is None:
        return np.empty(0, np.int64)
    chosen: list[int] = []
    above = np.flatnonzero((test.rows.score >= threshold) & (test.label == 1))
    patterns = np.array([truth.pattern[order] for order in store.ids_of(rows[above]).tolist()], dtype=object)
    for cause in CAUSES:
        places = above[patterns == cause]
        spread = np.linspace(0, max(places.size - 1, 0), min(of_each, places.size))
        chosen += places[np.unique(spread.astype(np.int64))].tolist()
    return np.array(chosen, dtype=np.int64)


def shown_share(value: float | None) -> str:
    """A share for the report."""
    return "" if value is None or math.isnan(value) else f"{value:.0%}"


def truth_rows(truth: TruthFigures) -> list[tuple[str, ...]]:
    """The report's table of reasons against the truth."""
    return [
        (
            each.cause,
            f"{each.frauds}",
            f"{each.right_side:.0%} [{each.right_side_low:.0%}, {each.right_side_high:.0%}]",
            shown_share(each.right_side_shuffled),
            f"{each.explained}",
            shown_share(each.causing_order),
            shown_share(each.causing_order_shuffled),
        )
        for each in truth.causes
    ]


def dependence_charts(found: tuple[Dependence, ...]) -> list[tuple[str, Markup]]:
    """A chart for each number: its name, the curve."""
    return [
        (
            each.feature,
            charts.curves(
                {each.feature: charts.Curve(each.values, each.mean, each.low, each.high)},
                each.feature,
                "log-odds of fraud",
            ),
        )
        for each in found
        if len(each.values) > 1
    ]


def size_rows(sizes: tuple[MeanSize, ...]) -> list[tuple[str, str, str]]:
    """A table of mean sizes."""

    def shown(size: tuple[float, float, float]) -> str:
        return f"{size[0]:.2f} [{size[1]:.2f}, {size[2]:.2f}]"

    return [(each.name, shown(each.frauds), shown(each.genuine)) for each in sizes]
