"""Groups of orders: which slice of a data set each order belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsa_model.settings import Settings

OTHER, MISSING = "other", "missing"
HISTORY_EDGES = (1, 2, 4, 8, 16)
HISTORY_NAMES = ("0", "1", "2-3", "4-7", "8-15", "16+")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Groups:
    """One slice of N orders: every order is in one of its groups, or in none."""

    name: str
    groups: tuple[str, ...]
    code: NDArray[np.int64]
    """[N] place of each order's group; -1 = in none."""
    protected: bool = False
    """Whether the groups must be treated alike."""

    def members(self, group: str) -> NDArray[np.bool_]:
        """[N] True for the orders of a group."""
        return self.code == self.groups.index(group)

    def where(self, chosen: NDArray[Any]) -> Groups:
        """The same slice of some of the orders.

        Args:
            chosen: [N] True, or places, of the orders to keep.
        """
        return Groups(self.name, self.groups, self.code[chosen], self.protected)


class SliceRule(Settings):
    """How a slice's groups are told apart, fitted once, so that the same rule holds for later orders."""

    name: str
    source: Literal["column", "customer_history", "card_history", "amount", "weekday"]
    """What is looked at."""
    column: str | None = None
    """Of `column`: its name."""
    kind: Literal["text", "number"] = "text"
    values: tuple[str, ...] = ()
    """Of a text: the values that are groups of their own."""
    edges: tuple[float, ...] = ()
    """Of a number: the bounds between groups; a bound belongs to the upper one."""
    groups: tuple[str, ...] = ()
    """Of a number: the groups' names, one more than there are bounds."""
    protected: bool = False

    def assign(self, values: NDArray[Any]) -> Groups:
        """Put orders into groups.

        Args:
            values: [N] text, None where it is missing; or numbers, NaN where there is none.
        """
        if self.kind == "text":
            is_missing = _missing(values)
            place = {value: i for i, value in enumerate(self.values)}
            distinct, inverse = np.unique(np.where(is_missing, "", values).astype(str), return_inverse=True)
            table = np.array([place.get(value, len(self.values)) for value in distinct], np.int64)
            code = np.where(is_missing, len(self.values) + 1, table[inverse])
            return Groups(self.name, (*self.values, OTHER, MISSING), code, self.protected)
        numbers = values.astype(np.float64)
        code = np.searchsorted(np.array(self.edges), numbers, side="right").astype(np.int64)
        code[np.isnan(numbers)] = len(self.groups)
        return Groups(self.name, (*self.groups, MISSING), code, self.protected)


def text_rule(name: str, values: NDArray[Any], top: int, protected: bool, column: str) -> SliceRule:
    """A slice by the most frequent values of a text; as frequent ones in alphabetical order.

    Args:
        name: of the slice.
        values: [n] those of the training period, None where one is missing.
        top: groups at most, besides "other" and "missing"; a value of these names counts as "other".
        protected: see `Groups`.
        column: the column's name.
    """
    distinct, count = np.unique(values[~_missing(values)].astype(str), return_counts=True)
    count[np.isin(distinct, (OTHER, MISSING))] = 0
    chosen = [distinct[i] for i in np.argsort(-count, kind="stable")[:top] if count[i]]
    return SliceRule(
        name=name, source="column", column=column, values=tuple(map(str, chosen)), protected=protected
    )


def number_edges(values: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Bounds that part the training period's numbers into equally full bins; fewer where values repeat.

    They are rounded to three digits, so that a group's name is exact.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return ()
    quantiles = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])
    rounded = {float(f"{edge:.3g}") for edge in quantiles}
    return tuple(sorted(edge for edge in rounded if known.min() < edge <= known.max()))


def band_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Names of the bands between bounds: "below 10", "10 to 50", "50 and above"; one band is "all"."""
    if not edges:
        return ("all",)
    shown = [f"{edge:,g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    return (f"below {shown[0]}", *between, f"{shown[-1]} and above")


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.fromiter((value is None for value in values), np.bool_, len(values))
