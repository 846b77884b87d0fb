"""Streams of scored orders for `benchmarks/monitoring.py`, and the faults that are put into them.

The scores come from boosted trees on the engineered columns of a store, made into probabilities by the
project's own calibration: monitoring reads scores of any model, and trees take seconds to train.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from tsa_model.calibration import Calibrator, fit_calibrator
from tsa_model.evaluation import threshold_for_rate
from tsa_model.evaluation.rival import current_orders
from tsa_model.evaluation.stability import TrainingOrders
from tsa_model.export.stage import mean_history
from tsa_model.monitoring.columns import EventDays
from tsa_model.monitoring.orders import ScoredDays
from tsa_model.monitoring.reference import PastScores, Reference
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription, Split
from tsa_model.settings.monitoring import MonitoringConfig
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import SimulationConfig, simulate_orders

ALERT_RATE = 0.01
Change = Callable[[pd.DataFrame, "pd.Series[bool]"], None]
"""Changes a frame of raw orders in place, in the rows that the mask names."""


@dataclass(frozen=True)
class World:
    """A data set with a model, and the days after its test period."""

    name: str
    frame: pd.DataFrame
    dataset: DatasetDescription
    config: MonitoringConfig
    folder: Path
    store: SequenceStore
    model: Any
    calibrator: Calibrator
    reference: Reference
    days: int
    """Monitored ones."""

    @property
    def start(self) -> datetime:
        """The first monitored day."""
        return self.dataset.split.test_end

    def stream(self, change: Change | None = None, at: int = 0, cut: bool = False) -> Stream:
        """Score the monitored days.

        Args:
            change: of the raw orders, before anything is made of them.
            at: the first monitored day that it changes.
            cut: whether the histories of the days from `at` on have lost all orders before.
        """
        moment = self.start + timedelta(days=at)
        store, end = self.store, self.start + timedelta(days=self.days)
        if change is None and not cut:
            return self._scored(store, self.start, end)
        frame = self.frame[times(self.frame, self.dataset) < end].copy()
        later = times(frame, self.dataset) >= moment
        if change is not None:
            change(frame, later)
        fitted = self.folder / "store" / "preprocessing.json"
        with tempfile.TemporaryDirectory() as folder:
            rows = frame[later] if cut else frame
            changed = SequenceStore.build(rows, self.dataset, Path(folder) / "store", preprocessing=fitted)
            after = self._scored(changed, moment if cut else self.start, end)
        return self._scored(store, self.start, moment).then(after) if cut else after

    def _scored(self, store: SequenceStore, start: datetime, end: datetime) -> Stream:
        rows = rows_between(store, start, end)
        score = self.model.predict(inputs(store, rows))
        probability = self.calibrator.probability(score)
        time, ids = store.times_of(rows).view(np.int64), store.ids_of(rows)
        label, nothing = store.labels_of(rows).astype(np.int8), np.full(rows.size, -1)
        scored = ScoredDays(ids, time, score, probability, label, nothing, {}, ())
        first = (start - datetime(1970, 1, 1, tzinfo=UTC)).days
        last = (end - datetime(1970, 1, 1, tzinfo=UTC)).days
        return Stream(scored, EventDays.count(store, self.reference, first - 6, last))


@dataclass(frozen=True)
class Stream:
    """Scored orders, and what their raw orders say."""

    scored: ScoredDays
    events: EventDays

    def then(self, later: Stream) -> Stream:
        """These days and then others, whose raw orders are counted by themselves."""
        ours, theirs = self.scored, later.scored
        arrays = ("order_id", "time_us", "score", "probability", "label", "waited_us")
        both = {name: np.concatenate([getattr(ours, name), getattr(theirs, name)]) for name in arrays}
        scored = ScoredDays(**both, sources={}, notes=(), sent=None)
        a, b = self.events, later.events
        n = a.orders.size
        skip = n - (b.first - a.first)
        columns = tuple(
            type(x)(x.histogram, np.concatenate([x.days, y.days[skip:]]))
            for x, y in zip(a.columns, b.columns, strict=True)
        )

        def joined(name: str) -> dict[str, Any]:
            first, second = getattr(a, name), getattr(b, name)
            return {key: np.concatenate([first[key], second[key][skip:]]) for key in first}

        events = EventDays(
            first=a.first,
            orders=np.concatenate([a.orders, b.orders[skip:]]),
            columns=columns,
            unknown=joined("unknown"),
            history=joined("history"),
            without_history=joined("without_history"),
            order_id=np.zeros(0, np.int64),
            order_day=np.zeros(0, np.int64),
            label=np.zeros(0, np.int64),
            amount=None,
        )
        return Stream(scored, events)


def times(frame: pd.DataFrame, dataset: DatasetDescription) -> pd.Series[Any]:
    """Order times as UTC moments."""
    column = frame[dataset.order_time]
    return pd.to_datetime(column, unit=None if column.dtype.kind == "M" else "s", utc=True)


def rows_between(store: SequenceStore, start: datetime, end: datetime) -> np.ndarray:
    """Row numbers of the orders from `start` to before `end`."""
    moments = [np.datetime64(one.replace(tzinfo=None), "us") for one in (start, end)]
    low, high = np.searchsorted(store.times_of(np.arange(len(store))), moments)
    return np.arange(low, high)


def inputs(store: SequenceStore, rows: np.ndarray) -> np.ndarray:
    """What the trees see: the current order's categories and numbers."""
    categories, values = current_orders(store, rows)
    return np.concatenate([categories[:, : store.own_values(rows[:1])[0].shape[1]], values], axis=1)


def make_world(name: str, frame: pd.DataFrame, dataset: DatasetDescription, days: int, folder: Path) -> World:
    """Train, calibrate, and take the measures of a reference."""
    from lightgbm import Booster, Dataset, train

    config = MonitoringConfig()
    store = SequenceStore.build(frame, dataset, folder / "store")
    n_categories = store.own_values(np.zeros(1, np.int64))[0].shape[1]
    settings = {
        "objective": "binary",
        "num_leaves": 31,
        "learning_rate": 0.05,
        "verbose": -1,
        "num_threads": 1,
    }
    rows = store.targets("train")
    data = Dataset(inputs(store, rows), store.labels_of(rows), categorical_feature=list(range(n_categories)))
    model: Booster = train(settings, data, num_boost_round=150)
    scored = {}
    for period in ("vali", "cali", "test"):
        rows = store.targets(period)
        scored[period] = (
            store.times_of(rows).view(np.int64),
            np.asarray(model.predict(inputs(store, rows)), np.float64),
            store.labels(period),
        )
    calibrator = fit_calibrator("spline", scored["cali"][1], scored["cali"][2])
    periods = {
        period: PastScores(time, score, calibrator.probability(score), label.astype(np.int8))
        for period, (time, score, label) in scored.items()
    }
    TrainingOrders.of(store).save(folder / "training_orders.json")
    description = SimpleNamespace(training_history=mean_history(store, store.targets("train")))
    manifest = SimpleNamespace(model_digest="0" * 64, sha256="0" * 64)
    threshold = threshold_for_rate(scored["cali"][1], ALERT_RATE)
    reference = Reference.of(
        periods, threshold, ALERT_RATE, config, cast(Any, manifest), cast(Any, description), dataset, folder
    )
    return World(name, frame, dataset, config, folder, store, model, calibrator, reference, days)


def simulated(folder: Path, weeks: int, seed: int = 7) -> World:
    """Orders of the project's simulator: a demo's training, then quiet weeks at the same rate."""
    run = RunConfig.load("demo")
    split = run.dataset.split
    days = weeks * 7 + (split.test_end - datetime(2025, 1, 1, tzinfo=UTC)).days + 10
    simulation = SimulationConfig(orders=500 * days, days=days, seed=seed, unknown_label_days=0)
    return make_world("simulator", simulate_orders(simulation), run.dataset, weeks * 7, folder)


def handbook(path: Path, folder: Path) -> World:
    """The handbook's transactions: four weeks for the model, twelve to be monitored."""
    dataset = RunConfig.load("handbook").dataset
    days = {"train": (2, 9), "vali": (9, 10), "cali": (10, 16), "test": (23, 30)}  # a week's delay before
    start = datetime(2018, 3, 31, tzinfo=UTC)
    split = Split(
        **{
            f"{period}_{end}": start + timedelta(days=day)
            for period, both in days.items()
            for end, day in zip(("start", "end"), both, strict=True)
        }
    )
    dataset = dataset.changed(split=split, target_positive_rate=None)
    return make_world("handbook", pd.read_parquet(path), dataset, 84, folder)
