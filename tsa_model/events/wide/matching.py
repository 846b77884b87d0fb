"""How well the two sides of wide histories match: ids in two spellings would leave histories empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.errors import BadEvents
from tsa_model.events.ids import numbers_of

LEAST_SHARE = 0.5
"""Of the shorter side's entries, those that must be found on the other; complete exports match nearly all."""
LEAST_ENTRIES = 10
MOST_EMPTY = 0.05
"""Of the rows with two entries or more on both sides, those that may match none."""


@dataclass(frozen=True)
class Matching:
    """Counts over rows of one key; `+` adds those of other rows."""

    n_smaller: int = 0
    """Entries of the shorter side of every history."""
    n_matched: int = 0
    n_filled: int = 0
    """Rows with two entries or more on both sides."""
    n_unmatched: int = 0
    """Those of them of which no entry matches."""
    unmatched: tuple[str, str, str] | None = None
    """An id of the categorical side, one of the numerical side, and the order, where nothing matches."""
    spelled: tuple[str, str, str] | None = None
    """One id in two spellings: categorical side, numerical side, order."""

    def __add__(self, other: Matching) -> Matching:
        return Matching(
            self.n_smaller + other.n_smaller,
            self.n_matched + other.n_matched,
            self.n_filled + other.n_filled,
            self.n_unmatched + other.n_unmatched,
            self.unmatched or other.unmatched,
            self.spelled or other.spelled,
        )

    def check(self, key: str) -> None:
        """Refuse histories whose two sides do not speak of the same orders.

        Args:
            key: suffix of the history columns.

        Raises:
            BadEvents: an id has two spellings, or few entries match.
        """
        if problem := self.problem(key):
            raise BadEvents(problem)

    def problem(self, key: str) -> str:
        """What is wrong, in one sentence; empty where nothing is."""
        sides = f"cat_objectId_by_{key} and num_objectId_by_{key}"
        if self.spelled is not None:
            cat, num, order = self.spelled
            return (
                f"columns {sides} write one id in two ways, {cat!r} and {num!r} (order {order}), so that the "
                "history would lose that entry; write every id in one way"
            )
        few = self.n_smaller >= LEAST_ENTRIES and self.n_matched < LEAST_SHARE * self.n_smaller
        empty = self.n_unmatched >= LEAST_ENTRIES and self.n_unmatched > MOST_EMPTY * self.n_filled
        if self.unmatched is None or not (few or empty):
            return ""
        cat, num, order = self.unmatched
        return (
            f"columns {sides} match for {self.n_matched:,} of {self.n_smaller:,} entries, and in "
            f"{self.n_unmatched:,} rows for none, e.g. {cat!r} and {num!r} (order {order}); histories would "
            "be nearly empty: write the ids of both sides in one way"
        )


def measure(
    cat: tuple[np.ndarray, pa.Array, np.ndarray],
    num: tuple[np.ndarray, pa.Array, np.ndarray],
    order_ids: pa.Array,
) -> Matching:
    """Count matches.

    Args:
        cat: row of each entry (ascending), its order id, and the places of matched entries.
        num: the same of the numerical side.
        order_ids: [rows] text.
    """
    n_rows = len(order_ids)
    in_cat, in_num = np.bincount(cat[0], minlength=n_rows), np.bincount(num[0], minlength=n_rows)
    matched = np.bincount(cat[0][cat[2]], minlength=n_rows)
    smaller = np.minimum(in_cat, in_num)
    is_filled = smaller >= 2
    nothing = np.flatnonzero((smaller > 0) & (matched == 0))
    unmatched = None
    if len(nothing):
        row = int(nothing[0])
        places = [int(np.searchsorted(side[0], row)) for side in (cat, num)]
        unmatched = (cat[1][places[0]].as_py(), num[1][places[1]].as_py(), order_ids[row].as_py())
    return Matching(
        n_smaller=int(smaller.sum()),
        n_matched=int(matched.sum()),
        n_filled=int(is_filled.sum()),
        n_unmatched=int((is_filled & (matched == 0)).sum()),
        unmatched=unmatched,
        spelled=_spelled_twice(cat, num, order_ids),
    )


def _spelled_twice(
    cat: tuple[np.ndarray, pa.Array, np.ndarray],
    num: tuple[np.ndarray, pa.Array, np.ndarray],
    order_ids: pa.Array,
) -> tuple[str, str, str] | None:
    """An entry without a match on the other side whose number another such entry of its row has."""
    rest = []
    for row, ids, places in (cat, num):
        is_left = np.ones(len(row), dtype=bool)
        is_left[places] = False
        rest.append((row[is_left], ids.filter(pa.array(is_left))))
    if not all(len(row) for row, _ in rest):
        return None
    numbers = pc.dictionary_encode(pa.concat_arrays([numbers_of(ids) for _, ids in rest]))
    code = numbers.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    n_cat, width = len(rest[0][0]), len(numbers.dictionary) + 1
    cat_entry = rest[0][0] * width + code[:n_cat]
    num_entry = rest[1][0] * width + code[n_cat:]
    both = np.intersect1d(cat_entry, num_entry)
    if not len(both):
        return None
    one, two = np.flatnonzero(cat_entry == both[0])[0], np.flatnonzero(num_entry == both[0])[0]
    order = order_ids[int(rest[0][0][one])].as_py()
    return rest[0][1][int(one)].as_py(), rest[1][1][int(two)].as_py(), order
