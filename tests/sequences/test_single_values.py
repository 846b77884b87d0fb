"""A derived column of one order, which single numbers give, has the bits that arrays give."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest

from tsa_model.sequences.features import exact_sums
from tsa_model.sequences.features.derived import window_value, window_values
from tsa_model.sequences.features.lags import (
    LONGEST_GAP_S,
    gap_value,
    gap_values,
    position_value,
    position_values,
)
from tsa_model.settings.derived import Lag, Window

OWN = (0.0, -0.0, 1.0, -3.7, 1e-300, 1e300, math.nan)
COUNTS = (0, 1, 3, 2**53 - 1)
TOTALS = (0.0, -0.0, 5.1, -1e-310, 1e300)
WHOLE = (0, 1, 2**53 - 1)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@pytest.mark.parametrize("statistic", ["count", "mean", "ratio", "difference", "fraud_mean"])
def test_a_window_over_numbers(statistic) -> None:
    column = None if statistic == "count" else "amount"
    window = Window(name="w", key="customer", statistic=statistic, column=column, days=(1,))
    for own, count, total in itertools.product(OWN, COUNTS, TOTALS):
        arrays = (np.array([each]) for each in (own, count, total))
        with np.errstate(over="ignore"):  # of two numbers no data set holds together
            wanted = window_values(window, *arrays)[0]
        assert bits(window_value(window, own, count, total)) == bits(wanted), (own, count, total)


@pytest.mark.parametrize("statistic", ["label_rate", "label_count"])
def test_a_window_over_labels(statistic) -> None:
    window = Window(name="w", key="customer", statistic=statistic, days=(1,))
    for count, total in itertools.product(COUNTS, WHOLE):
        wanted = window_values(window, np.array([np.nan]), np.array([count]), np.array([total]))[0]
        assert bits(window_value(window, math.nan, count, total)) == bits(wanted), (count, total)


def test_a_sum() -> None:
    rng = np.random.default_rng(3)
    often = rng.integers(-(2**62), 2**62, (2000, 4)) >> rng.integers(0, 63, (2000, 4))
    found = [exact_sums.summed_one(each) for each in often.tolist()]
    assert np.array(found).tobytes() == exact_sums.summed(often).tobytes()


@pytest.mark.parametrize("log", [False, True])
def test_a_gap_and_a_position(log) -> None:
    gap = Lag(name="gap", key="customer", statistic="gap", log=log)
    now_us, longest_us = np.array([1_745_000_000_123_456]), int(LONGEST_GAP_S * 1e6)
    for gap_us in (1, 17, 3_600_000_001, longest_us - 1, longest_us, longest_us + 1, 10 * longest_us):
        wanted = gap_values(gap, np.array([True]), now_us, now_us - gap_us)[0]
        assert bits(gap_value(gap, gap_us)) == bits(wanted), gap_us
    assert bits(gap_value(gap, None)) == bits(gap_values(gap, np.array([False]), now_us, now_us)[0])
    position = Lag(name="seen", key="customer", statistic="position", log=log)
    for n_earlier in (0, 1, 7, 10**6):
        wanted = position_values(position, np.array([n_earlier]))[0]
        assert bits(position_value(position, n_earlier)) == bits(wanted), n_earlier
