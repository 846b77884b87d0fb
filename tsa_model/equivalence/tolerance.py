"""Every bound of the gate, with its reason. Nothing else in this package states a tolerance.

dtype    kind                   bound                     cause of what is observed
float64  outputs                rtol 1e-6, atol 1e-8      the promise (TSA spec, section 15)
float64  outputs                1e-10 of the scale        printed as an alarm: correct code stays near 1e-14
float32  error against float64  2 × the reference's own   another order of the same operations
"""

from __future__ import annotations

import torch

RTOL = 1e-6
ATOL = 1e-8
"""The promise: |shipped - reference| <= ATOL + RTOL · |reference|, in float64."""

ALARM = 1e-10
"""A float64 difference, relative to the tensor's largest value, that no reordering explains: printed."""

ROUNDING_FACTOR = 2.0
"""Largest float32 error of the shipped network, as a multiple of the reference's own float32 error."""

ROUNDING_FLOOR_ULP = 4.0
"""float32 errors below this many units in the last place of the tensor's largest value are not compared:
there the ratio of two errors is a matter of luck."""

TIE_FACTOR = 8.0
"""A routing decision is called a tie when its margin is below this multiple of the float32 error seen in
the decision's own scores ..."""

TIE_FLOOR_ULP = 16.0
"""... or below this many units in the last place of the largest of them."""


def unit(dtype: torch.dtype) -> float:
    """Distance from 1 to the next number of this dtype."""
    return torch.finfo(dtype).eps
