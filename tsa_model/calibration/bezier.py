"""A cubic spline as Bézier pieces, whose values never decrease, not even by rounding."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Number = TypeVar("Number", FloatArray, float)

STEPS = 2.0**50
"""Places within a piece. They lie far enough apart that no rounding error exceeds the rise between two."""


@dataclass(frozen=True)
class BezierPieces:
    """A cubic spline as n pieces; neighbours share their end point."""

    edges: FloatArray
    """[n + 1]"""
    control: FloatArray
    """[n, 4] control points."""

    @cached_property
    def rises(self) -> FloatArray:
        """[3, n] from each control point to the next."""
        return np.ascontiguousarray(np.diff(self.control, axis=1).T)

    @cached_property
    def numbers(self) -> tuple[list[float], list[float], list[list[float]], list[list[float]]]:
        """The inner edges, all edges, `ends` and `rises` of each piece."""
        ends, rises = np.stack(self.ends, axis=1), self.rises.T
        return self.edges[1:-1].tolist(), self.edges.tolist(), ends.tolist(), rises.tolist()

    @cached_property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """The first control points and the last, [n] each."""
        return np.ascontiguousarray(self.control[:, 0]), np.ascontiguousarray(self.control[:, 3])


def monotone_values(x: Number, pieces: BezierPieces) -> Number:
    """Values of a cubic spline with non-decreasing control points.

    With control points b0 ≤ b1 ≤ b2 ≤ b3 a piece is b0 plus non-negative multiples of three functions that
    rise from 0 to 1. Each of them is computed so that it never falls, and neither do products with
    constants, sums and clipping: floating-point operations are monotone one by one.

    Args:
        x: [n] within the edges, or a single number, whose value is the same and is found sooner.
        pieces: see `bezier_pieces`, which takes far longer than all that follows.
    """
    if isinstance(x, float):
        return _value(x, pieces)
    edges = pieces.edges
    piece = edges[1:-1].searchsorted(x, side="right")
    start, end = edges[piece], edges[1:][piece]
    t = np.floor((x - start) / (end - start) * STEPS) / STEPS
    b0, b3 = (each[piece] for each in pieces.ends)
    rise = pieces.rises[:, piece]
    u = 1.0 - t
    # 3t² − 2t³, from the nearer end, where it has no rounding error to speak of.
    middle = np.where(t <= 0.5, t * t * (3.0 - 2.0 * t), 1.0 - u * u * (3.0 - 2.0 * u))
    risen = rise[0] * (1.0 - u * u * u) + rise[1] * middle + rise[2] * (t * t * t)
    return np.minimum(np.maximum(b0 + risen, b0), b3)


def _value(x: float, pieces: BezierPieces) -> float:
    """The same operations on a single number; numpy would take longer to begin each of them."""
    inner, edges, ends, rises = pieces.numbers
    piece = bisect_right(inner, x)
    start, end = edges[piece], edges[piece + 1]
    t = math.floor((x - start) / (end - start) * STEPS) / STEPS
    u = 1.0 - t
    middle = t * t * (3.0 - 2.0 * t) if t <= 0.5 else 1.0 - u * u * (3.0 - 2.0 * u)
    (b0, b3), rise = ends[piece], rises[piece]
    risen = rise[0] * (1.0 - u * u * u) + rise[1] * middle + rise[2] * (t * t * t)
    return min(max(b0 + risen, b0), b3)


def bezier_pieces(knots: FloatArray, coefficients: FloatArray) -> BezierPieces:
    """The pieces of a cubic B-spline with non-decreasing coefficients.

    Args:
        knots: clamped, with interior knots of multiplicity 3 at most.
        coefficients: one per basis function.
    """
    from scipy.interpolate import BSpline

    spline, edges = BSpline(knots, coefficients, 3), np.unique(knots)
    for knot in edges[1:-1].tolist():
        missing = 3 - int((knots == knot).sum())
        if missing > 0:
            spline = spline.insert_knot(knot, missing)
    points = np.maximum.accumulate(spline.c)[: 3 * (edges.size - 1) + 1]
    return BezierPieces(edges, points[np.arange(edges.size - 1)[:, None] * 3 + np.arange(4)])
