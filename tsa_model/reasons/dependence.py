"""Partial dependence: what a model makes of one number of an order when all else stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ENGINEERED, sequences_of
from tsa_model.reasons.game import Rules
from tsa_model.reasons.overview import RESAMPLES
from tsa_model.reasons.values import unscaled
from tsa_model.settings import Settings

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

MOST_NUMBERS = 4
"""Features that are looked at."""
MOST_ORDERS = 100
QUANTILES = (0.005, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.995)
"""Of a feature: near the ends, where frauds are, and not beyond what a model has seen."""


class Dependence(Settings):
    """The mean log-odds of fraud when one number is set to each of some values."""

    feature: str
    orders: int
    values: tuple[float, ...]
    """As people know them, not scaled; ascending."""
    mean: tuple[float, ...]
    low: tuple[float, ...]
    """With `high` the middle 95 % of a bootstrap over orders, of the mean less its mean over all values."""
    high: tuple[float, ...]


def partial_dependence(
    rules: Rules, store: SequenceStore, rows: NDArray[np.int64], features: Sequence[str]
) -> tuple[Dependence, ...]:
    """Set numbers of orders to other orders' values, one number at a time.

    Columns that are computed from a history belong to it and are left out. Where they read the number, as the
    ratio to the customer's usual amount does, they keep their values.

    Args:
        rules: of the model.
        store: the sequence store.
        rows: row numbers of ordinary orders; evenly spread ones of them are scored.
        features: the order's own, the most important first; categories and groups are left out.
    """
    numbers = {part.feature: part for part in rules.features if len(set(_columns(rules, part.numbers))) == 1}
    chosen = [name for name in features if name in numbers and not numbers[name].categorical]
    some = rows[np.unique(np.linspace(0, rows.size - 1, min(MOST_ORDERS, rows.size)).astype(np.int64))]
    own = store.own_values(rows)[1]
    return tuple(
        _of_one(rules, store, some, name, numbers[name].numbers, own) for name in chosen[:MOST_NUMBERS]
    )


def _columns(rules: Rules, places: Sequence[int]) -> list[str]:
    names = [*rules.fitted.numerical, *rules.fitted.engineered]
    return [names[place] for place in places]


def _of_one(
    rules: Rules,
    store: SequenceStore,
    rows: NDArray[np.int64],
    name: str,
    places: tuple[int, ...],
    own: NDArray[np.float32],
) -> Dependence:
    n_num = len(rules.fitted.numerical)
    # The same number twice, among the numerical and the engineered features, may be scaled in two ways.
    steps = np.quantile(own[:, list(places)], QUANTILES, axis=0, method="nearest")
    steps = np.unique(steps, axis=0)
    batch = {
        key: np.tile(values, (len(steps), *[1] * (values.ndim - 1)))
        for key, values in store.arrays(rows, sequences_of(rules.session.input_names)).items()
    }
    for k, place in enumerate(places):
        values = np.repeat(steps[:, k], rows.size)
        if place >= n_num:
            batch[ENGINEERED][:, place - n_num] = values
            continue
        for names in rules.names:
            batch[names.num][:, -1, place] = values
    logits = rules.session.run(batch)["logits"].astype(np.float64)
    odds = (logits[:, 1] - logits[:, 0]).reshape(len(steps), rows.size)
    drawn = np.random.default_rng(0).integers(0, rows.size, (RESAMPLES, rows.size))
    moved = (odds - odds.mean(axis=0))[:, drawn].mean(axis=2)
    low, high = np.quantile(moved, [0.025, 0.975], axis=1) + odds.mean()
    scaler = [*rules.fitted.numerical.values(), *rules.fitted.engineered.values()][places[0]]
    return Dependence(
        feature=name,
        orders=rows.size,
        values=tuple(unscaled(scaler, value) for value in steps[:, 0].tolist()),
        mean=tuple(odds.mean(axis=1).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
