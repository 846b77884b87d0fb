"""Boosted trees by LightGBM: the parameters and the fit, for the rival and for the network's own trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import lightgbm

ROUNDS, PATIENCE = 400, 30
TREES: dict[str, Any] = {
    "objective": "binary",
    "metric": "average_precision",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_cat_to_onehot": 8,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
"""Usual values; nothing of them was searched for on any data set. One thread, so that the trees depend on no
machine."""


@dataclass(frozen=True)
class Table:
    """Orders to learn from or to stop by.

    Attributes:
        columns: [n, features] float32; category indices are whole in it.
        label: [n], 0 or 1.
    """

    columns: NDArray[np.float32]
    label: NDArray[np.int64]

    def rows(self, chosen: NDArray[Any]) -> Table:
        """Some of the orders."""
        return Table(self.columns[chosen], self.label[chosen])


def fit(
    training: Table,
    watched: Table | None = None,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    n_categorical: int = 0,
    **parameters: Any,
) -> lightgbm.Booster:
    """Fit an ensemble.

    Args:
        training: what it learns.
        watched: stops it after 30 trees without a better figure; needs both labels, else it stops nothing.
        rounds: most trees.
        seed: of the sampling of rows and columns.
        n_categorical: how many of the first columns are category indices.
        parameters: LightGBM's, that replace those of `TREES`.
    """
    import lightgbm

    options: dict[str, Any] = {"categorical_feature": list(range(n_categorical)), "free_raw_data": True}
    data = lightgbm.Dataset(training.columns, training.label, **options)
    sets: list[lightgbm.Dataset] = []
    callbacks: list[Callable[..., Any]] = []
    if watched is not None and 0 < watched.label.sum() < watched.label.size:
        sets.append(data.create_valid(watched.columns, watched.label))
        callbacks.append(lightgbm.early_stopping(PATIENCE, verbose=False))
    return lightgbm.train(TREES | parameters | {"seed": seed}, data, rounds, sets, callbacks=callbacks)
