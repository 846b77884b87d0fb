"""Scored orders as a table: what is known of each, its score, and the contract that the columns keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.calibration import Calibrator, PercentileMap

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore


@dataclass(frozen=True)
class ScoreTable:
    """N scored orders, aligned."""

    order_id: NDArray[Any]
    order_time: NDArray[Any]
    """[N] datetime64[us], UTC."""
    score: NDArray[np.float32]
    percentile: NDArray[np.float64] | None
    """Among the calibration period's scores; None without a percentile map."""
    probability: NDArray[np.float64] | None
    """Calibrated; None without a calibrator."""
    label: NDArray[np.int64]
    """0, 1, or -1 where it is not known."""


@dataclass(frozen=True)
class ScoredOrders:
    """What is known of N orders before they are scored."""

    order_id: NDArray[Any]
    order_time: NDArray[Any]
    """[N] datetime64[us], UTC."""
    label: NDArray[np.int64]
    """0, 1, or -1 where it is not known."""

    @classmethod
    def of(cls, store: SequenceStore, rows: NDArray[Any]) -> ScoredOrders:
        """The orders of these row numbers."""
        return cls(store.ids_of(rows), store.times_of(rows), store.labels_of(rows))


def score_table(
    score: NDArray[np.float32],
    orders: ScoredOrders,
    percentiles: PercentileMap | None,
    calibrator: Calibrator | None,
) -> ScoreTable:
    """Put scores beside the orders they belong to, with percentile and probability."""
    return ScoreTable(
        order_id=orders.order_id,
        order_time=orders.order_time,
        score=score,
        percentile=None if percentiles is None else percentiles.percentile(score),
        probability=None if calibrator is None else calibrator.probability(score),
        label=orders.label,
    )


def check_scores(table: ScoreTable) -> None:
    """Hold a table to the contract of the score files.

    Raises:
        ValueError: columns differ in length, an order is there twice, or a value is not in [0, 1].
    """
    n_rows = table.order_id.size
    columns = {"score": table.score, "percentile": table.percentile, "probability": table.probability}
    for name, values in columns.items():
        if values is None:
            continue
        bad = ~((values >= 0) & (values <= 1))
        if values.size != n_rows or bad.any():
            example = f", for example {values[bad][0]}" if bad.any() else ""
            raise ValueError(
                f"{name}: {values.size} values for {n_rows} orders, {int(bad.sum())} not in [0, 1]{example}"
            )
    distinct, count = np.unique(table.order_id, return_counts=True)
    if distinct.size != n_rows:
        raise ValueError(f"order {distinct[count > 1][0]!r} would be scored {count.max()} times")
    if table.label.size != n_rows or table.order_time.size != n_rows:
        raise ValueError(f"{table.label.size} labels and {table.order_time.size} times for {n_rows} orders")
