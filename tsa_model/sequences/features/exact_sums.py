"""Sums of floats without rounding, so that a running total less another is the sum of what lies between.

Each value is cut into integers of 40 bits and its own sign, in units of 2**20, 2**-20, … Running totals of
integers are exact in their differences, even where they overflow. So no order outside a window can change
even the last bit of the window's sum, and a total that was kept gives the sum that is computed afresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tsa_model.events.errors import BadEvents

UNITS = (2.0**20, 2.0**-20, 2.0**-60, 2.0**-100)
LARGEST = 2.0**60
_EACH = np.array(UNITS)
_PER_ONE = 1 / _EACH


def check(name: str, value: np.ndarray) -> None:
    """Refuse a column with a value that is too large to be cut."""
    largest = np.fmax.reduce(np.abs(value), axis=None, initial=0.0)
    if largest >= LARGEST:
        raise BadEvents(f"column {name!r} holds {largest:g}, too large to be averaged over a window")


def cut(value: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Each unit and how often each value holds it, whole float64 of the same shape.

    Args:
        value: float64 that `check` has passed; NaN = missing, which holds no unit.
    """
    often = often_of(value)
    for place, unit in enumerate(UNITS):
        yield unit, often[..., place]


def often_of(value: np.ndarray) -> np.ndarray:
    """How often each value holds each unit; see `cut`.

    Returns:
        [..., units] whole float64.
    """
    held = np.where(np.isnan(value), 0.0, value)[..., None] * _PER_ONE
    np.trunc(held, out=held)  # not floor, which would round the rest of a tiny negative value
    # A value holds its larger units 2**40 times as often in the next smaller one. What is left is some of the
    # value's own bits, so nothing is rounded.
    held[..., 1:] -= held[..., :-1] * 2.0**40
    return held


def joined(totals: Iterable[tuple[float, np.ndarray]], n: int) -> np.ndarray:
    """The sums, [n] float64, of what is given as (unit, [n] int64 how often)."""
    sums = np.zeros(n)
    for unit, often in totals:
        sums += often * unit
    return sums


def summed(often: np.ndarray) -> np.ndarray:
    """As `joined`, of [..., units] int64 how often."""
    first, *others = (often * _EACH).T
    sums = first
    for other in others:
        sums = sums + other
    return sums


def summed_one(often: Sequence[int]) -> float:
    """`summed` of one value's units, with the same operations."""
    first, *others = [each * unit for each, unit in zip(often, UNITS, strict=True)]
    for other in others:
        first += other
    return first
