"""Sums of windows do not depend on what else was added before: running totals, taken apart, are exact."""

from __future__ import annotations

import math

import numpy as np

from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.derived import _ExactSums


def test_sums_are_exact_for_tiny_and_for_cancelling_values():
    rng = np.random.default_rng(4)
    value = np.concatenate([-1e-9 * rng.random(50), 1e9 * rng.standard_normal(50), rng.standard_normal(50)])
    rng.shuffle(value)
    since = rng.integers(0, len(value), 500)
    until = np.minimum(since + rng.integers(0, 9, 500), len(value))
    count, total = _ExactSums("amount", value).between(since, until)
    np.testing.assert_array_equal(count, until - since)
    exact = [math.fsum(value[a:b]) for a, b in zip(since, until, strict=True)]
    np.testing.assert_allclose(total, exact, rtol=1e-15, atol=0)


def test_a_value_is_cut_into_the_units_it_holds_one_after_the_other():
    rng = np.random.default_rng(5)
    value = rng.standard_normal(4000) * 10.0 ** rng.integers(-320, 18, 4000)
    value = np.concatenate([value, [0.0, -0.0, np.nan, 2.0**60 - 2.0**8, -(2.0**60) + 2.0**8, 5e-324, 51.13]])
    often = exact_sums.often_of(value)
    rest = np.where(np.isnan(value), 0.0, value) / exact_sums.UNITS[0]
    for place in range(len(exact_sums.UNITS)):
        whole = np.trunc(rest)
        np.testing.assert_array_equal(often[:, place].astype(np.int64), whole.astype(np.int64))
        rest = (rest - whole) * 2**40


def test_sums_side_by_side_are_those_of_one_unit_after_the_other():
    rng = np.random.default_rng(6)
    often = rng.integers(-(2**62), 2**62, (2000, 4)) >> rng.integers(0, 63, (2000, 4))
    one_by_one = exact_sums.joined(zip(exact_sums.UNITS, often.T, strict=True), len(often))
    assert exact_sums.summed(often).tobytes() == one_by_one.tobytes()
