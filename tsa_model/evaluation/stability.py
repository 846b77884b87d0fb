"""How far the orders of one time differ from those of another, column by column, as a model sees them.

An exported model carries the histograms of its training period (`training_orders.json`), so that orders can
be held against them where nothing else of that period is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from tsa_model.events.units import to_us
from tsa_model.files import write_json
from tsa_model.sealed import read_document
from tsa_model.settings import Settings

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

N_BINS = 10
"""Bins of a number: quantiles of the training period."""
N_VALUES = 50
"""Most frequent training values of a category that are counted one by one."""
TIMES_THE_NOISE = 3
"""An index below this many times what chance gives says nothing."""
UNUSUAL = 1e-4
"""Nor does an index that two samples of one distribution have so often."""
MOST_ORDERS = 200_000
"""Orders that are looked at, evenly spread over all."""


def population_stability(expected: NDArray[Any], observed: NDArray[Any]) -> tuple[float, float]:
    """Population stability index of two histograms, and the value that chance alone gives.

    Args:
        expected: [bins] counts of the training period.
        observed: [bins] counts of the later period.

    Returns:
        PSI (every bin gets half a count more, so that an empty one does not make it infinite), and its
        expectation (bins − 1)(1/n + 1/m) for two samples of n and m from one distribution.
    """
    used = (expected + observed) > 0
    p, q = expected[used] + 0.5, observed[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    psi = float(((p - q) * np.log(p / q)).sum())
    noise = (used.sum() - 1) * (1 / max(expected.sum(), 1) + 1 / max(observed.sum(), 1))
    return psi, float(noise)


def stability_beyond_chance(expected: NDArray[Any], observed: NDArray[Any]) -> tuple[float, float]:
    """Population stability index of two histograms, and the largest value that says nothing.

    Args:
        expected: [bins] counts of the training period.
        observed: [bins] counts of the later period.
    """
    from scipy.special import chdtri

    psi, noise = population_stability(expected, observed)
    freedom = max(1, int(np.count_nonzero(expected + observed)) - 1)
    # Of two samples of one distribution, the index over its expectation is chi-square over its own. A day may
    # bring a dozen orders, and then three times the noise is nothing unusual.
    return psi, max(TIMES_THE_NOISE, float(chdtri(freedom, UNUSUAL)) / freedom) * noise


class Histogram(Settings):
    """Counts of one column of the training period."""

    role: Literal["categorical", "numerical", "engineered"]
    name: str
    bins: tuple[float, ...]
    """The most frequent vocabulary indices of a category; the inner edges of a number's bins, scaled."""
    counts: tuple[NonNegativeInt, ...]
    """Orders per index, then those with any other; or per bin."""

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """[bins] orders of some values, binned as these were."""
        return np.bincount(self.places(values), minlength=len(self.bins) + 1)

    def places(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """[n] the bin of each value."""
        bins = np.array(self.bins)
        if self.role != "categorical":
            return np.searchsorted(bins, values, side="right").astype(np.int64)
        if not bins.size:
            return np.zeros(values.size, np.int64)
        in_order = np.argsort(bins)
        found = np.searchsorted(bins, values, sorter=in_order).clip(max=bins.size - 1)
        place = in_order[found]
        return np.where(bins[place] == values, place, bins.size)


class TrainingOrders(Settings):
    """What the orders of the training period were like: the content of `training_orders.json`."""

    format: Literal[1] = 1
    orders: NonNegativeInt
    """That were counted."""
    columns: tuple[Histogram, ...]
    """Of every column that is read from the orders themselves; what is computed from histories moves with
    their length, which is checked by itself."""

    @classmethod
    def of(cls, store: SequenceStore) -> TrainingOrders:
        """Count the current orders of a store's training window."""
        times = store.times_of(np.arange(len(store))).view(np.int64)
        first, last = np.searchsorted(times, [to_us(one) for one in store.description.split.window("train")])
        rows = spread(np.arange(first, last))
        columns = []
        for role, name, values in _columns(store, rows):
            if role == "categorical":
                frequency = np.bincount(values)
                ranked = np.argsort(-frequency, kind="stable")[:N_VALUES]
                bins = ranked[frequency[ranked] > 0]
            else:
                bins = np.unique(np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1]))
            empty = Histogram(role=role, name=name, bins=tuple(bins.tolist()), counts=())
            columns.append(empty.changed(counts=tuple(empty.count(values).tolist())))
        return cls(orders=rows.size, columns=tuple(columns))

    def compare(self, store: SequenceStore, rows: NDArray[Any]) -> dict[str, float]:
        """Column → its population stability index over what chance explains, else 0.

        Args:
            store: other orders, encoded with the same vocabulary and scaler.
            rows: [n] row numbers of those to look at.
        """
        found: dict[str, float] = {}
        for one, values in self.columns_of(store, spread(rows)):
            psi, by_chance = stability_beyond_chance(np.array(one.counts), one.count(values))
            found[one.name] = max(found.get(one.name, 0.0), psi if psi > by_chance else 0.0)
        return found

    def columns_of(
        self, store: SequenceStore, rows: NDArray[Any]
    ) -> Iterator[tuple[Histogram, NDArray[Any]]]:
        """Every known column with the [n] encoded values that orders have in it.

        Args:
            store: other orders, encoded with the same vocabulary and scaler.
            rows: [n] their row numbers.
        """
        known = {(one.role, one.name): one for one in self.columns}
        for role, name, values in _columns(store, rows):
            if (one := known.get((role, name))) is not None:
                yield one, values

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> TrainingOrders:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing or holds something else.
        """
        return read_document(path, cls, "the histograms of a training period")


def spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most `MOST_ORDERS` of some row numbers, evenly spread."""
    if rows.size <= MOST_ORDERS:
        return rows
    return rows[np.linspace(0, rows.size - 1, MOST_ORDERS).astype(np.int64)]


def _columns(
    store: SequenceStore, rows: NDArray[Any]
) -> Iterator[tuple[Literal["categorical", "numerical", "engineered"], str, NDArray[Any]]]:
    """Role, name and [n] encoded values of every column that is read from the orders themselves."""
    if not rows.size:
        return
    dataset = store.description
    read = {*dataset.raw_categorical, *dataset.raw_numerical}
    categories, values = store.own_values(rows)
    values = values.astype(np.float64)
    for place, name in enumerate(store.preprocessing.categorical):
        if name in read:
            yield "categorical", name, categories[:, place]
    for place, name in enumerate(store.preprocessing.numerical):
        if name in read:
            yield "numerical", name, values[:, place]
    for place, name in enumerate(store.preprocessing.engineered, start=store.n_num_features):
        if name in read:
            yield "engineered", name, values[:, place]
