"""Every bound of the gate, with its reason. Nothing else in this package states a tolerance.

dtype    kind                   bound                     cause of what is observed
float64  outputs                rtol 1e-6, atol 1e-8      the promise (TSA spec, section 15)
float64  outputs                1e-10 of the scale        printed as an alarm: correct code stays near 1e-14
float64  one block, same input  1e-11 of the scale        sums in another order: 1e-15 to 1e-13
float32  error against float64  2 × the reference's own   another order of the same operations
"""

from __future__ import annotations

import torch

RTOL = 1e-6
ATOL = 1e-8
"""The promise: |shipped - reference| <= ATOL + RTOL · |reference|, in float64."""

ALARM = 1e-10
"""A float64 difference, relative to the tensor's largest value, that no reordering explains: printed."""

BLOCK = 1e-11
"""One block on the reference's own input, in float64, relative to its output's largest value. Correct blocks
stay below 1e-13; a wrong eps of 1e-9 in the mixture's gate gives 1e-9."""

ROUNDING_FACTOR = 2.0
"""Largest float32 error of the shipped network, as a multiple of the reference's own float32 error."""

ROUNDING_FLOOR_ULP = 4.0
"""float32 errors below this many units in the last place of the tensor's largest value are not compared:
there the ratio of two errors is a matter of luck."""

ROUNDING_TAIL = 5.0
"""The reference's largest error is taken to be at least this multiple of its RMS error: in a hundred rows the
largest of two equally good computations differs by chance."""

TURNED = 20.0
"""A further float32 run of the reference whose error is this many times larger shows no rounding: a decision
turned in it."""

BLOCK_ROUNDING_FACTOR = 4.0
"""The same as ROUNDING_FACTOR for a single block or a single gradient: few elements leave more to chance."""

FREE_RUNNING = 0.5
"""Smallest share of the real rows that must be compared free-running in float32."""

TIE_FACTOR = 8.0
"""A routing decision is called a tie when its margin is below this multiple of the float32 error seen in
the decision's own scores ..."""

TIE_FLOOR_ULP = 16.0
"""... or below this many units in the last place of the largest of them, or of what was summed for them."""


def unit(dtype: torch.dtype) -> float:
    """Distance from 1 to the next number of this dtype."""
    return torch.finfo(dtype).eps


UNCHANGED = 1e-10
"""Change of float64 logits under a change of input that must not matter, relative to the largest logit."""

LOSS = 1e-10
"""Shipped losses against the formulas, in float64, relative; they agree to 1e-15."""

GRADIENT = 1e-9
"""Gradients in float64, relative to the parameter's largest one ..."""

GRADIENT_NOISE = 1e-13
"""... plus this share of the largest gradient of all: some gradients cancel to zero (a key bias without
times) and are noise in both networks."""

GRADIENT_NEGLIGIBLE = 1e-6
"""Parameters whose gradient is below this share of the largest are left out of the float32 comparison."""

PARAMETER_FACTOR = 8.0
"""The same as BLOCK_ROUNDING_FACTOR for the gradient of one parameter. On 17 correct networks, in float32 and
under bfloat16, one run of the shipped network was off by up to 4.2 times the largest error of five runs of
the reference. In float32 a halved gradient is 10,000 times that error; there the reference's error counts as
no smaller than its median over all parameters, for a single number may come out right by luck."""

DIVERGENCE_FACTOR = 16.0
"""Largest divergence of two float64 trainings, or change of a logit, as a multiple of what weights moved by a
rounding cause. Another order of sums rounds in every operation, not once in every weight."""

N_TRAJECTORIES = 4
"""Trainings of the reference from nudged weights that show it."""
