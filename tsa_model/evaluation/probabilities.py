"""What can be said of a period's calibrated probabilities, and what its counts leave open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tsa_model.calibration.counts import share_at_least, share_at_most
from tsa_model.evaluation.metrics import reliability_bins

CONFIDENCE = 0.95
"""Of the two-sided interval of a bin."""


def probability_figures(probability: ArrayLike, label: ArrayLike) -> dict[str, Any]:
    """Extremes of the probabilities, and every bin of the calibration error beside what its count allows.

    A bin without a fraud does not show that fraud is impossible there: n orders are compatible with any
    share of fraud up to about 3/n. The calibration error takes 0 for its share, and so a probability that
    is far too small passes unseen. Therefore each bin has the exact 95 % interval of Clopper and Pearson
    of its share of fraud; a predicted mean outside contradicts the counts.

    Args:
        probability: [N] calibrated.
        label: [N] 0 or 1.

    Returns:
        `smallest`, `largest`, `zeros`, `ones` (orders at exactly 0 and 1), `bins` (a list, rising),
        `bins_without_fraud`, `orders_without_fraud` (orders in those), `bins_contradicted`.
    """
    probabilities = np.asarray(probability, np.float64)
    found = reliability_bins(probabilities, label)
    orders = found["count"].astype(np.int64)
    frauds = np.rint(found["observed"] * found["count"]).astype(np.int64)
    one_sided = (1.0 + CONFIDENCE) / 2.0
    low, high = share_at_least(frauds, orders, one_sided), share_at_most(frauds, orders, one_sided)
    columns = (orders, frauds, found["predicted"], found["observed"], low, high)
    names = ("orders", "frauds", "predicted", "observed", "low", "high")
    return {
        "smallest": float(probabilities.min()),
        "largest": float(probabilities.max()),
        "zeros": int((probabilities == 0.0).sum()),
        "ones": int((probabilities == 1.0).sum()),
        "bins_without_fraud": int((frauds == 0).sum()),
        "orders_without_fraud": int(orders[frauds == 0].sum()),
        "bins_contradicted": int(((found["predicted"] < low) | (found["predicted"] > high)).sum()),
        "bins": [
            dict(zip(names, values, strict=True))
            for values in zip(*(column.tolist() for column in columns), strict=True)
        ],
    }
