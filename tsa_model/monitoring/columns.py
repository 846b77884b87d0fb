"""The columns and histories of the orders of each day, held against the training period's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.stability import Histogram
from tsa_model.events.units import DAY_US
from tsa_model.monitoring.calendar import WEEK, days_of
from tsa_model.monitoring.reference import Reference
from tsa_model.scoring.given import GivenOrders
from tsa_model.scratch import scratch_folder
from tsa_model.sequences import SequenceStore
from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription

FloatArray = NDArray[np.float64]
CHUNK = 65_536
"""Orders whose columns are counted at once."""


@dataclass(frozen=True)
class CountedColumn:
    """One column of the training period, and its orders of each later day."""

    histogram: Histogram
    days: NDArray[np.int64]
    """[D, bins] orders."""


@dataclass(frozen=True)
class EventDays:
    """What the raw orders say of D days, beginning with `first`, and of the scored orders among them."""

    first: int
    orders: NDArray[np.int64]
    """[D] orders of each day, scored or not."""
    columns: tuple[CountedColumn, ...]
    unknown: dict[str, FloatArray]
    """Category → [D] share of orders whose value the vocabulary does not know."""
    history: dict[str, FloatArray]
    """Key → [D] earlier orders in a history on average."""
    without_history: dict[str, FloatArray]
    """Key → [D] share of orders without any earlier one."""
    order_id: NDArray[Any]
    """[N] of the orders of these days."""
    order_day: NDArray[np.int64]
    """[N]"""
    label: NDArray[np.int64]
    """[N] 0, 1, or -1 where it is not known."""
    amount: FloatArray | None
    """[N]; None where the description names no column with amounts."""

    @classmethod
    def read(
        cls, events: Any, history: Any, reference: Reference, first: int, end: int, scratch: Path
    ) -> EventDays:
        """Build sequences of raw orders as scoring does, and count them day by day.

        Args:
            events: path or paths of the raw orders of these days; earlier orders may be among them.
            history: of the earlier ones; None = they are there, or there are none.
            reference: the model's vocabulary, scaler and training period.
            first: the first day that is monitored; the week before is counted too, where it is there.
            end: the day after the last.
            scratch: a path beside which temporary files may lie.
        """
        dataset, fitted = raw_columns(reference.dataset, Preprocessing.load(reference.preprocessing))
        given = GivenOrders.open(events, history, dataset)
        with scratch_folder(scratch) as folder:
            store = SequenceStore.build(given.sources, dataset, folder / "store", preprocessing=fitted)
            return cls.count(store, reference, first - WEEK + 1, end)

    @classmethod
    def count(cls, store: SequenceStore, reference: Reference, first: int, end: int) -> EventDays:
        """Count the orders of a store from the day `first` to the day before `end`."""
        times = store.times_of(np.arange(len(store))).view(np.int64)
        low, high = np.searchsorted(times, [first * DAY_US, end * DAY_US])
        rows = np.arange(low, high)
        day = days_of(times[rows]) - first
        n_days = end - first
        orders = np.bincount(day, minlength=n_days)
        lengths = store.history_lengths(rows)
        return cls(
            first=first,
            orders=orders,
            columns=_counted(store, reference, rows, day, n_days),
            unknown=_unknown(store, rows, day, orders),
            history={key: _means(day, one.astype(np.float64), orders) for key, one in lengths.items()},
            without_history={key: _means(day, (one == 0) * 1.0, orders) for key, one in lengths.items()},
            order_id=store.ids_of(rows),
            order_day=day + first,
            label=store.labels_of(rows),
            amount=_amounts(store, rows, reference.dataset.amount),
        )


def raw_columns(
    dataset: DatasetDescription, fitted: Preprocessing
) -> tuple[DatasetDescription, Preprocessing]:
    """A description of the columns that are read, without those that are computed from histories.

    Monitoring looks at the former alone, and the latter cost most of the time. A description that needs its
    computed columns (one without any other number, for example) is returned as it is.
    """
    if dataset.layout == "wide" or (not dataset.derived and not dataset.known_label):
        return dataset, fitted
    kept = {
        role: tuple(name for name in getattr(dataset, role) if name not in dataset.derived)
        for role in ("categorical", "numerical", "engineered")
    }
    without = {"windows": (), "lags": (), "logs": (), "calendar": ()}
    # A data set whose only category is the known label needs it to stay a data set.
    labels = dataset.known_label and not kept["categorical"]
    try:
        plain = dataset.changed(**kept, **without, known_label=labels)
    except ValueError:
        return dataset, fitted
    names = {**kept, "categorical": (*kept["categorical"], *((KNOWN_LABEL,) if labels else ()))}
    scalers = {role: {name: getattr(fitted, role)[name] for name in names[role]} for role in names}
    return plain, fitted.changed(**scalers)


def _counted(
    store: SequenceStore, reference: Reference, rows: NDArray[Any], day: NDArray[Any], n_days: int
) -> tuple[CountedColumn, ...]:
    if reference.training is None:
        return ()
    found: dict[tuple[str, str], CountedColumn] = {}
    for start in range(0, rows.size, CHUNK):
        part = slice(start, start + CHUNK)
        for histogram, values in reference.training.columns_of(store, rows[part]):
            n_bins = len(histogram.counts)
            place = histogram.places(values) + day[part] * n_bins
            counts = np.bincount(place, minlength=n_days * n_bins).reshape(n_days, n_bins)
            key = histogram.role, histogram.name
            before = found[key].days if key in found else 0
            found[key] = CountedColumn(histogram, before + counts)
    return tuple(found.values())


def _unknown(
    store: SequenceStore, rows: NDArray[Any], day: NDArray[Any], orders: NDArray[Any]
) -> dict[str, FloatArray]:
    names = {name: one for name, one in store.preprocessing.categorical.items() if name != KNOWN_LABEL}
    unknown = np.array([one.unknown for one in names.values()])
    share = np.zeros((len(names), orders.size))
    for start in range(0, rows.size, CHUNK):
        part = slice(start, start + CHUNK)
        is_unknown = store.own_values(rows[part])[0] == unknown
        for place in range(len(names)):
            share[place] += np.bincount(day[part], is_unknown[:, place], minlength=orders.size)
    return {name: share[place] / orders.clip(1) for place, name in enumerate(names)}


def _means(day: NDArray[Any], values: FloatArray, orders: NDArray[Any]) -> FloatArray:
    return np.bincount(day, values, minlength=orders.size) / orders.clip(1)


def _amounts(store: SequenceStore, rows: NDArray[Any], column: str | None) -> FloatArray | None:
    """[n] raw amounts, ≥ 0, as the scaler gives them back."""
    if column is None:
        return None
    fitted = store.preprocessing
    scalers = [*fitted.numerical.items(), *fitted.engineered.items()]
    place = next((i for i, (name, _) in enumerate(scalers) if name == column), None)
    if place is None:
        return None
    scaler = scalers[place][1]
    values = [
        store.own_values(rows[start : start + CHUNK])[1][:, place] for start in range(0, rows.size, CHUNK)
    ]
    raw = np.concatenate(values) if values else np.zeros(0)
    return ((raw.astype(np.float64) - scaler.min) / scaler.scale).clip(0.0)
