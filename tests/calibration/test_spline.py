"""The monotone spline against the legacy's fits, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from support import golden

from tsa_model.calibration import MonotoneSpline
from tsa_model.calibration.bezier import bezier_pieces, monotone_values
from tsa_model.calibration.spline import place_knots


def made_data(n_rows, seed=0, power=1.5):
    generator = np.random.default_rng(seed)
    score = generator.beta(0.8, 6, n_rows)
    return score, (generator.random(n_rows) < score**power).astype(int)


@pytest.fixture(scope="module")
def fitted():
    score, label = made_data(4_000)
    return MonotoneSpline.fit(score, label), score, label


@pytest.mark.parametrize("n_rows", [2000, 20000])
def test_it_draws_the_legacys_curve(n_rows):
    legacy, spline = golden.calibration(n_rows)
    np.testing.assert_allclose(spline.knots, legacy["knots"], rtol=0, atol=1e-12)
    low, high = np.quantile(legacy["score"], [0.05, 0.995])
    inner = (legacy["grid"] >= low) & (legacy["grid"] <= high)
    difference = np.abs(spline.probability(legacy["grid"]) - legacy["probability"])[inner]
    # The legacy stops where coefficients still run off, which shifts the foot of the curve by a little.
    assert difference.max() < 2e-3
    assert np.median(difference) < 1e-6


@pytest.mark.parametrize("n_rows", [2000, 20000])
def test_the_mean_probability_is_the_share_of_positives(n_rows):
    legacy, spline = golden.calibration(n_rows)
    assert abs(spline.probability(legacy["score"]).mean() - legacy["label"].mean()) < 1e-6


def test_it_never_decreases_not_even_by_rounding(fitted):
    spline, *_ = fitted
    assert (np.diff(spline.coefficients) >= 0).all()
    dense = np.linspace(-0.1, 1.1, 200_001)
    assert (np.diff(spline.probability(dense)) >= 0).all()


def test_it_finds_the_curve_behind_the_labels():
    score, label = made_data(100_000, seed=3)
    spline = MonotoneSpline.fit(score, label)
    places = np.quantile(score, [0.2, 0.5, 0.8, 0.95, 0.99])
    np.testing.assert_allclose(spline.probability(places), places**1.5, atol=0.03)


def test_scores_outside_the_unit_interval_are_certain(fitted):
    spline, *_ = fitted
    np.testing.assert_array_equal(spline.probability([-0.5, 0.0, 1.0, 1.5]), [0, 0, 1, 1])


def test_a_probability_does_not_depend_on_its_neighbours(fitted):
    spline, score, _ = fitted
    assert spline.probability(score[7]) == spline.probability(score)[7]
    assert spline.probability(score.reshape(-1, 4)).shape == (score.size // 4, 4)


def test_saving_keeps_every_bit_and_the_legacys_names(fitted, tmp_path):
    spline, score, _ = fitted
    spline.save(tmp_path / "calibration.json")
    content = json.loads((tmp_path / "calibration.json").read_text())
    assert set(content) == {"coefficients", "knots", "degree", "status"}
    assert content["status"] == "Success"
    loaded = MonotoneSpline.load(tmp_path / "calibration.json")
    np.testing.assert_array_equal(loaded.probability(score), spline.probability(score))


def test_parameters_with_few_digits_are_read(fitted, tmp_path):
    spline, score, _ = fitted
    content = {
        "coefficients": [round(value, 8) for value in spline.coefficients.tolist()],
        "knots": [round(value, 8) for value in spline.knots.tolist()],
        "degree": 3,
        "status": "Success",
    }
    (tmp_path / "legacy.json").write_text(json.dumps(content))
    loaded = MonotoneSpline.load(tmp_path / "legacy.json")
    np.testing.assert_allclose(loaded.probability(score), spline.probability(score), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "Fail"}, "status is 'Fail'"),
        ({"knots": [0, 0, 0, 0, 1, 1, 1, 1]}, "8 knots do not fit"),
        ({"coefficients": [0.0, -1.0, 0.0, 1.0, 2.0]}, "coefficients decrease by up to 1"),
    ],
)
def test_a_spoiled_file_is_refused(change, message, tmp_path):
    content = {"coefficients": [0.0, 0.5, 0.7, 1.0, 2.0], "knots": [0, 0, 0, 0, 0.5, 1, 1, 1, 1], "degree": 3}
    (tmp_path / "c.json").write_text(json.dumps({**content, "status": "Success", **change}))
    with pytest.raises(ValueError, match=message):
        MonotoneSpline.load(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("score", "label", "message"),
    [
        (np.linspace(0, 1, 999), np.ones(999), "999 rows with 999 positives; at least 1000 rows"),
        (np.linspace(0, 1, 2000), np.arange(2000) < 9, "2000 rows with 9 positives"),
        (np.linspace(0, 1, 2000), np.ones(2000), "all 2000 labels are 1"),
        (np.full(2000, 0.3), np.arange(2000) < 50, "1 distinct scores .* too few to place a knot"),
        (np.linspace(0, 1.2, 2000), np.arange(2000) < 50, "scores are outside .0, 1., for example 1.0"),
        (np.linspace(0, 1, 2000), np.arange(2000), "labels are neither 0 nor 1, for example 2"),
        (np.append(np.linspace(0, 1, 1999), np.nan), np.arange(2000) < 50, "1 of 2000 scores are not finite"),
        (np.linspace(0, 1, 2000), np.zeros(1000), "must be one-dimensional and equally long"),
    ],
)
def test_what_it_cannot_calibrate_it_refuses_in_words(score, label, message):
    with pytest.raises(ValueError, match=message):
        MonotoneSpline.fit(score, label)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 8), st.floats(0.2, 30))
def test_whatever_the_scores_it_is_monotone_and_right_on_average(seed, a, b):
    generator = np.random.default_rng(seed)
    score = generator.beta(a, b, 1500).round(3)
    label = (generator.random(1500) < 0.1 + 0.8 * score).astype(int)
    try:
        spline = MonotoneSpline.fit(score, label)
    except ValueError as error:
        assert "too few" in str(error)  # noqa: PT017
        return
    probability = spline.probability(np.sort(score))
    assert (np.diff(probability) >= 0).all()
    certain = (score == 0) | (score == 1)
    if not certain.any():
        assert abs(probability.mean() - label.mean()) < 1e-3


def test_knots_lie_at_quantiles_and_never_close_an_almost_empty_interval():
    score = np.random.default_rng(2).beta(2, 5, 3000).round(6)
    knots = place_knots(score)
    inner = knots[4:-4]
    assert (np.diff(inner) > 0).all()
    counts, _ = np.histogram(score, bins=np.concatenate([[0], inner, [1]]))
    assert (counts > 10).all()
    assert np.isin(np.quantile(score, [0.05, 0.5, 0.95]).round(8), inner).all()


def test_bezier_pieces_do_not_fall_between_neighbouring_numbers():
    generator = np.random.default_rng(0)
    for _ in range(40):
        interior = np.unique(generator.random(12).round(8))
        knots = np.concatenate([np.zeros(4), interior, np.ones(4)])
        coefficients = np.sort(generator.normal(size=knots.size - 4) * 10.0 ** generator.integers(0, 6))
        places = np.concatenate([generator.random(30), interior])
        x = np.unique(places + np.arange(-8, 9)[:, None] * np.spacing(places))
        values = monotone_values(x, bezier_pieces(knots, coefficients))
        assert (np.diff(values) >= 0).all()
        scale = np.abs(coefficients).max()
        np.testing.assert_allclose(values, BSpline(knots, coefficients, 3)(x), rtol=0, atol=1e-13 * scale)
