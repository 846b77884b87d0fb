"""What matters over many explained orders: which features, how far back, for frauds and for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tsa_model.reasons.explanation import Explanation, PartShare
from tsa_model.settings import Settings

RESAMPLES = 400
STEPS_BACK = ((1, 1, "the last one"), (2, 3, "2 to 3 back"), (4, 6, "4 to 6 back"), (7, 12, "7 to 12 back"))
OLDER = "older ones"
SHOWN_FEATURES = 12


class MeanSize(Settings):
    """The mean size of contributions, |log-odds|, with the middle 95 % of a bootstrap over orders."""

    name: str
    frauds: tuple[float, float, float]
    """Mean, low, high."""
    genuine: tuple[float, float, float]


class Overview(Settings):
    """Of explained orders."""

    frauds: int
    genuine: int
    sides: tuple[MeanSize, ...]
    features: tuple[MeanSize, ...]
    """Of the order itself, the largest first."""
    orders_back: tuple[MeanSize, ...]
    """Of both histories: the orders at each distance, added up."""


def overview(found: Sequence[Explanation], is_fraud: NDArray[np.bool_], seed: int = 0) -> Overview:
    """Average the contributions of explained orders.

    Args:
        found: explanations.
        is_fraud: [orders] their labels.
        seed: of the bootstrap.
    """

    def table(keys: Callable[[PartShare], str | None], signed: bool) -> list[MeanSize]:
        sizes = [_sizes(each, keys, signed) for each in found]
        names = list(dict.fromkeys(name for each in sizes for name in each))
        return [
            _mean_size(name, np.array([each.get(name, 0.0) for each in sizes]), is_fraud, seed)
            for name in names
        ]

    features = table(lambda part: part.feature if part.side == "order" else None, signed=False)
    features.sort(key=lambda each: -max(each.frauds[0], each.genuine[0]))
    back = table(lambda part: _distance(part.orders_back), signed=False)
    sequence = [name for *_, name in STEPS_BACK] + [OLDER]
    back.sort(key=lambda each: sequence.index(each.name))
    return Overview(
        frauds=int(is_fraud.sum()),
        genuine=int((~is_fraud).sum()),
        sides=tuple(table(lambda part: part.side, signed=True)),
        features=tuple(features[:SHOWN_FEATURES]),
        orders_back=tuple(back),
    )


def _distance(back: tuple[int, ...]) -> str | None:
    if not back:
        return None
    if len(back) > 1:
        return OLDER
    return next((name for first, last, name in STEPS_BACK if first <= back[0] <= last), OLDER)


def _sizes(each: Explanation, keys: Callable[[PartShare], str | None], signed: bool) -> Mapping[str, float]:
    """Size of each key's contributions: of their sum where they belong together, else added up one by one."""
    sums: dict[str, float] = {}
    for part in each.parts:
        key = keys(part)
        if key is not None:
            sums[key] = sums.get(key, 0.0) + (part.contribution if signed else abs(part.contribution))
    return {key: abs(value) for key, value in sums.items()}


def _mean_size(name: str, sizes: NDArray[np.float64], is_fraud: NDArray[np.bool_], seed: int) -> MeanSize:
    return MeanSize(
        name=name, frauds=_interval(sizes[is_fraud], seed), genuine=_interval(sizes[~is_fraud], seed)
    )


def _interval(sizes: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    if not sizes.size:
        return 0.0, 0.0, 0.0
    drawn = np.random.default_rng(seed).integers(0, sizes.size, (RESAMPLES, sizes.size))
    low, high = np.quantile(sizes[drawn].mean(axis=1), [0.025, 0.975])
    return float(sizes.mean()), float(low), float(high)
