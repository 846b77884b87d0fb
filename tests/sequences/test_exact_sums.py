"""Sums of windows do not depend on what else was added before: running totals, taken apart, are exact."""

from __future__ import annotations

import math

import numpy as np

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
