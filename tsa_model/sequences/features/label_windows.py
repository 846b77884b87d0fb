"""Windows over labels where the orders say when each label became known.

labels of a key by the moment at which they became known    1 0 0 1 0 1 1 …
an order at a moment, a window of some days                    (       ]
                                                        now - days     now
"""

from __future__ import annotations

import numpy as np

from tsa_model.events.units import UNKNOWN_LABEL


class LabelsByMoment:
    """The known labels of some keys; an order sees those of strictly earlier orders only.

    Args:
        key: [n] int64 number of each order's key.
        time_us: [n] int64, the orders' times.
        known_us: [n] int64, from when on their labels are known, never before the order.
        label: [n] int8; -1 = not known.
    """

    def __init__(self, key: np.ndarray, time_us: np.ndarray, known_us: np.ndarray, label: np.ndarray) -> None:
        rows = np.flatnonzero(label != UNKNOWN_LABEL)
        key, known_us, label = key[rows], known_us[rows], label[rows]
        self._known = _Totals(key, known_us, label)
        # A label that is known at its order's own moment is not seen by another order of that moment.
        self._seen = _Totals(key, np.maximum(known_us, time_us[rows] + 1), label)

    def between(
        self, key: np.ndarray, after_us: np.ndarray, until_us: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How many labels of each key became known in (after, until], as an order sees it that is placed at
        `until_us`; and how many of them are frauds.
        """
        n_last, frauds_last = self._seen.up_to(key, until_us)
        n_first, frauds_first = self._known.up_to(key, after_us)
        return n_last - n_first, (frauds_last - frauds_first).astype(np.float64)


class _Totals:
    """Labels and frauds of all keys up to a moment of one of them."""

    def __init__(self, key: np.ndarray, moment_us: np.ndarray, label: np.ndarray) -> None:
        self._moments, rank = np.unique(moment_us, return_inverse=True)
        # (key, moment) as one ascending integer, so that one search serves all keys.
        places = self._place(key, rank + 1)
        by_place = np.argsort(places, kind="stable")
        self._places = places[by_place]
        self._frauds = np.concatenate([[0], np.cumsum(label[by_place], dtype=np.int64)])

    def _place(self, key: np.ndarray, rank: np.ndarray) -> np.ndarray:
        return key.astype(np.int64) * (len(self._moments) + 1) + rank

    def up_to(self, key: np.ndarray, moment_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Totals before the first label of the key that is later than the moment, [n] int64 each."""
        rank = np.searchsorted(self._moments, moment_us, side="right")
        first_later = np.searchsorted(self._places, self._place(key, rank), side="right")
        return first_later, self._frauds[first_later]
