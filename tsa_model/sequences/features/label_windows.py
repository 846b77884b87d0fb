"""Windows over labels where the orders say when each label became known.

labels of a key by the moment at which they became known    1 0 0 1 0 1 1 …
an order at a moment, a window of some days                    (       ]
                                                        now - days     now
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsa_model.sequences.features import exact_sums


class LabelsByMoment:
    """What the known labels of some keys add up to; an order sees those of strictly earlier orders only.

    Args:
        key: [n] int64 number of each order's key.
        time_us: [n] int64, the orders' times.
        known_us: [n] int64, from when on their labels are known, never before the order.
        value: [n] float64, what each label adds; NaN = it does not count.

    Raises:
        BadEvents: a value is too large.
    """

    def __init__(self, key: np.ndarray, time_us: np.ndarray, known_us: np.ndarray, value: np.ndarray) -> None:
        rows = np.flatnonzero(~np.isnan(value))
        key, known_us, value = key[rows], known_us[rows], value[rows]
        self._known = _Totals(key, known_us, value)
        # A label that is known at its order's own moment is not seen by another order of that moment.
        self._seen = _Totals(key, np.maximum(known_us, time_us[rows] + 1), value)

    def between(
        self, key: np.ndarray, after_us: np.ndarray, until_us: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How many labels of each key became known in (after, until], as an order sees it that is placed at
        `until_us`; and the exact sum of their values.
        """
        last, first = self._seen.up_to(key, until_us), self._known.up_to(key, after_us)
        pairs = zip(self._seen.totals_at(last), self._known.totals_at(first), strict=True)
        often = ((unit, until - since) for (unit, until), (_, since) in pairs)
        return last - first, exact_sums.joined(often, len(key))


class _Totals:
    """What labels add up to, of all keys up to a moment of one of them."""

    def __init__(self, key: np.ndarray, moment_us: np.ndarray, value: np.ndarray) -> None:
        self._moments, rank = np.unique(moment_us, return_inverse=True)
        # (key, moment) as one ascending integer, so that one search serves all keys.
        places = self._place(key, rank + 1)
        by_place = np.argsort(places, kind="stable")
        self._places = places[by_place]
        self._running = [
            (unit, np.concatenate([[0], np.cumsum(whole[by_place].astype(np.int64))]))
            for unit, whole in exact_sums.cut(value)
            if whole.any()
        ]

    def _place(self, key: np.ndarray, rank: np.ndarray) -> np.ndarray:
        return key.astype(np.int64) * (len(self._moments) + 1) + rank

    def up_to(self, key: np.ndarray, moment_us: np.ndarray) -> np.ndarray:
        """How many labels lie before the first of the key that is later than the moment, [n] int64."""
        rank = np.searchsorted(self._moments, moment_us, side="right")
        return np.searchsorted(self._places, self._place(key, rank), side="right")

    def totals_at(self, place: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
        """Each unit, and how often the labels before a place hold it, [n] int64."""
        return ((unit, running[place]) for unit, running in self._running)
