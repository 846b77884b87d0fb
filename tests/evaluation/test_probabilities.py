"""What the figures about probabilities say of bins whose counts say little."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tsa_model.evaluation import calibration_error, evaluate, probability_figures


def test_a_bin_is_counted_by_hand() -> None:
    probability = np.repeat([0.1, 0.4], 50)
    label = np.concatenate([np.arange(50) < 5, np.arange(50) < 20]).astype(np.int64)
    figures = probability_figures(probability, label)
    assert [(bin_["orders"], bin_["frauds"]) for bin_ in figures["bins"]] == [(50, 5), (50, 20)]
    assert [bin_["predicted"] for bin_ in figures["bins"]] == pytest.approx([0.1, 0.4])
    # Clopper and Pearson's 95 % interval of 5 among 50, from their tables.
    assert figures["bins"][0]["low"] == pytest.approx(0.0333, abs=1e-4)
    assert figures["bins"][0]["high"] == pytest.approx(0.2181, abs=1e-4)
    assert figures["bins_contradicted"] == figures["bins_without_fraud"] == 0
    assert (figures["smallest"], figures["largest"]) == (0.1, 0.4)
    json.dumps(figures, allow_nan=False)


def test_frauds_among_impossible_orders_contradict_though_the_calibration_error_is_small() -> None:
    probability = np.concatenate([np.zeros(15_000), np.full(1000, 0.1)])
    label = np.concatenate([np.arange(15_000) < 2, np.arange(1000) < 100]).astype(np.int64)
    assert calibration_error(probability, label) < 2e-4
    figures = probability_figures(probability, label)
    assert figures["zeros"] == 15_000
    assert figures["bins_contradicted"] == 1


def test_a_bin_without_fraud_says_what_it_allows() -> None:
    probability, label = np.repeat([1e-9, 0.5], [1000, 10]), np.repeat([0, 1, 0], [1000, 5, 5])
    figures = probability_figures(probability, label)
    assert (figures["bins_without_fraud"], figures["orders_without_fraud"]) == (1, 1000)
    assert figures["bins"][0]["low"] == 0
    assert figures["bins"][0]["high"] == pytest.approx(3.7 / 1000, rel=0.01)


def test_the_interval_of_the_calibration_error_does_not_take_none_for_never() -> None:
    probability, label = np.repeat([0.0, 0.5], [1000, 2000]), np.repeat([0, 1, 0], [1000, 1000, 1000])
    ece = evaluate(probability, label, probability, n_resamples=100)["ece"]
    assert ece.value == 0
    assert ece.high > 1e-3


def test_one_class_has_figures_too() -> None:
    figures = probability_figures(np.linspace(0.1, 0.2, 100), np.zeros(100, np.int64))
    assert figures["bins_without_fraud"] == len(figures["bins"]) == 20
