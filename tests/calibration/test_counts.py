"""Exact binomial bounds against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tsa_model.calibration.counts import share_at_least, share_at_most


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 15_264), (1, 10), (7, 10), (3, 100_000)])
def test_at_the_upper_bound_so_few_positives_are_a_one_in_twenty_chance(k, n):
    assert binom.cdf(k, n, share_at_most(k, n)) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 10), (10, 10), (2, 15_264)])
def test_at_the_lower_bound_so_many_positives_are_a_one_in_twenty_chance(k, n):
    assert binom.sf(k - 1, n, share_at_least(k, n)) == pytest.approx(0.05, rel=1e-6)


def test_without_positives_the_bound_is_three_over_n():
    assert share_at_most(0, 15_264) == pytest.approx(1 - 0.05 ** (1 / 15_264), rel=1e-9)
    assert share_at_most(0, 15_264) * 15_264 == pytest.approx(3, rel=2e-3)


def test_nothing_counted_says_nothing():
    assert share_at_most(0, 0) == 1
    assert share_at_least(0, 0) == 0
    np.testing.assert_array_equal(share_at_most([0, 5], [0, 5]), [1, 1])
    np.testing.assert_array_equal(share_at_least([0, 0], [0, 5]), [0, 0])
