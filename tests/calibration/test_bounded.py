"""Whatever the data, a calibrated probability is never 0 or 1, never falls, and claims what was counted."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from support import golden

from tsa_model.calibration import (
    BoundedCalibrator,
    Bounds,
    Platt,
    PriorCorrection,
    fit_calibrator,
    load_calibrator,
)
from tsa_model.calibration.bounded import _curve
from tsa_model.calibration.bounds import LARGEST
from tsa_model.evaluation import calibration_error

METHODS = ("spline", "isotonic", "platt")
DENSE = np.unique(
    np.concatenate(
        [np.linspace(-0.1, 1.1, 4001), np.geomspace(1e-12, 1, 500), 1 - np.geomspace(1e-12, 1, 500)]
    )
)


def separated(n_rows: int, seed: int, stray: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a model that tells almost all frauds apart; float32, some of them exactly 1."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n_rows) < 0.008).astype(int)
    missed = generator.random(n_rows) < stray
    logit = np.where(
        (label == 1) & ~missed, generator.normal(4, 2.5, n_rows), generator.normal(-9, 2.2, n_rows)
    )
    hard = (label == 0) & (generator.random(n_rows) < 0.03)
    logit[hard] = generator.normal(-1, 2.5, hard.sum())
    return expit(logit).astype(np.float32), label


@cache
def strongly_separated(method: str) -> tuple[BoundedCalibrator, np.ndarray, np.ndarray]:
    """A calibrator of a period whose frauds all stand out, with its scores and labels."""
    score, label = separated(17_000, seed=1, stray=0.0)
    return fit_calibrator(method, score, label), score, label


def assert_usable(calibrator, score) -> None:
    probability = calibrator.probability(np.union1d(score, DENSE))
    assert (np.diff(probability) >= 0).all()
    for dtype in (np.float64, np.float32):
        assert (probability.astype(dtype) > 0).all()
        assert (probability.astype(dtype) < 1).all()


@st.composite
def periods(draw) -> tuple[np.ndarray, np.ndarray]:
    """Calibration periods of many kinds: overlapping or separated, tied, saturated, any share of fraud."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.sampled_from([1000, 1500, 4000]))
    n_frauds = draw(st.sampled_from([0, 1, 9, 10, 30, n_rows // 2, n_rows - 1, n_rows]))
    label = generator.permutation(np.arange(n_rows) < n_frauds).astype(int)
    distance, width = draw(st.sampled_from([0, 1, 5, 20, 60])), draw(st.sampled_from([0.1, 1.0, 3.0, 20.0]))
    logit = draw(st.sampled_from([-30, -8, -2, 4])) + distance * label + width * generator.normal(size=n_rows)
    score = expit(logit)
    match draw(st.sampled_from(["plain", "float32", "tied", "two values", "many zeros", "many ones", "top"])):
        case "float32":
            score = score.astype(np.float32)
        case "tied":
            score = score.round(2)
        case "two values":
            score = (score > np.median(score)).astype(float)
        case "many zeros":
            score = np.where(generator.random(n_rows) < 0.7, 0.0, score)
        case "many ones":
            score = np.where(generator.random(n_rows) < 0.7, 1.0, score)
        case "top":
            label = (score.argsort().argsort() >= n_rows - n_frauds).astype(int)
    return score, label


@settings(max_examples=60)
@given(periods(), st.sampled_from(METHODS))
def test_on_any_period_probabilities_rise_strictly_inside_zero_and_one(period, method):
    score, label = period
    try:
        calibrator = fit_calibrator(method, score, label)
    except ValueError as error:
        words = ("too little data", "labels are 1", "too few to place a knot", "rank fraud below genuine")
        assert any(part in str(error) for part in words), error  # noqa: PT017
        return
    assert_usable(calibrator, score)
    assert calibrator.bounds.low >= 0.05 / score.size
    assert 1 - calibrator.bounds.high >= min(0.05 / score.size, 1 - LARGEST)
    # The bounds add (and take) three orders' worth of fraud at most: 3/n for each of n orders.
    moved = np.abs(calibrator.probability(score) - _curve(calibrator.calibrator, score))
    assert moved.sum() < 6.1


@pytest.mark.parametrize("n_rows", [2000, 20_000])
def test_where_orders_of_both_classes_lie_it_is_the_legacys_curve(n_rows):
    recorded, expected = golden.calibration(n_rows)
    score, label, grid = recorded["score"], recorded["label"], recorded["grid"]
    bounded, legacy = (fit_calibrator(method, score, label) for method in ("spline", "legacy"))
    bounds = bounded.bounds
    both = (grid >= bounds.lowest_fraud) & (grid <= bounds.highest_genuine)
    assert both.mean() > 0.4
    np.testing.assert_allclose(
        bounded.probability(grid[both]), legacy.probability(grid[both]), rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(legacy.probability(grid), expected.probability(grid))


@pytest.mark.parametrize("method", METHODS)
def test_below_every_fraud_the_probability_is_the_bound_of_the_count(method):
    calibrator, score, label = strongly_separated(method)
    n_below = int((score < score[label == 1].min()).sum())
    assert n_below > 15_000
    assert calibrator.bounds.low == pytest.approx(1 - 0.05 ** (1 / n_below), rel=1e-3)
    assert calibrator.bounds.orders_below == pytest.approx(n_below, abs=50)  # the spline sees six decimals
    assert (calibrator.probability(score) == calibrator.bounds.low).mean() > 0.5


def test_a_strongly_separated_period_has_no_zeros_and_a_smaller_error():
    score, label = separated(17_356, seed=2)
    before, after = (strongly_separated(method)[0].probability(score) for method in ("legacy", "spline"))
    assert (before == 0).sum() > 15_000
    assert label[before == 0].sum() >= 2  # frauds that were called impossible
    assert after.min() > 1e-4
    assert calibration_error(after, label) <= calibration_error(before, label)


def test_one_low_scored_fraud_keeps_the_curve_there():
    score, label = separated(17_000, seed=1, stray=0.0)
    label = label.copy()
    label[np.argsort(score)[100]] = 1
    calibrator = fit_calibrator("spline", score, label)
    assert 0.1 / 17_000 < calibrator.bounds.low < 10 / 17_000
    assert_usable(calibrator, score)


def test_perfectly_separated_classes_get_the_bounds_of_both_counts():
    score = np.concatenate([np.linspace(0.001, 0.2, 2000), np.linspace(0.8, 0.99, 400)])
    calibrator = fit_calibrator("spline", score, np.arange(2400) >= 2000)
    assert calibrator.bounds.low == pytest.approx(3 / 2000, rel=1e-2)
    assert 1 - calibrator.bounds.high == pytest.approx(3 / 400, rel=1e-2)
    np.testing.assert_allclose(
        calibrator.probability([0.0, 1.0]), [calibrator.bounds.low, calibrator.bounds.high]
    )


def test_scores_of_exactly_zero_and_one_mean_what_was_counted_there():
    generator = np.random.default_rng(4)
    score = np.where(
        generator.random(20_000) < 0.5, generator.integers(0, 2, 20_000), generator.random(20_000)
    )
    label = (generator.random(20_000) < 0.02 + 0.9 * score).astype(int)
    bounded, legacy = (fit_calibrator(method, score, label) for method in ("spline", "legacy"))
    np.testing.assert_allclose(bounded.probability([0.0, 1.0]), [0.02, 0.92], atol=0.01)
    assert calibration_error(bounded.probability(score), label) < 0.01
    assert calibration_error(legacy.probability(score), label) > 0.02


def test_a_hundred_thousand_orders_are_bounded_by_their_own_number():
    score, label = separated(100_000, seed=6, stray=0.0)
    calibrator = fit_calibrator("spline", score, label)
    assert_usable(calibrator, score)
    assert calibrator.bounds.low < 1e-4


def test_a_steep_logistic_curve_does_not_underflow():
    score, label = separated(2000, seed=1)
    platt = Platt(slope=80.0, intercept=0.0)
    assert platt.probability(0.0) == 0
    assert_usable(BoundedCalibrator.fit(platt, score, label), score)


def test_prior_correction_stays_inside_what_its_orders_could_show():
    calibrator = BoundedCalibrator(PriorCorrection(0.2, 0.01), Bounds.of_orders(5000))
    np.testing.assert_allclose(
        calibrator.probability([0.0, 1.0]), [0.05129 / 5000, 1 - 0.05129 / 5000], rtol=1e-4
    )
    assert calibrator.probability(0.3) == calibrator.calibrator.probability(0.3)
    assert_usable(calibrator, DENSE)
    for orders in (1, 2, 10**9):
        assert_usable(BoundedCalibrator(PriorCorrection(0.2, 0.01), Bounds.of_orders(orders)), DENSE)


@pytest.mark.parametrize("method", [*METHODS, "prior"])
def test_bounds_are_saved_in_the_calibrators_own_document(method, tmp_path):
    score, label = separated(3000, seed=5)
    if method == "prior":
        calibrator = BoundedCalibrator(PriorCorrection(0.2, 0.01), Bounds.of_orders(3000))
    else:
        calibrator = fit_calibrator(method, score, label)
    calibrator.save(tmp_path / "c.json")
    loaded = load_calibrator(tmp_path / "c.json")
    assert loaded.bounds == calibrator.bounds
    np.testing.assert_array_equal(loaded.probability(DENSE), calibrator.probability(DENSE))
    # A document of an older model folder has no bounds, and its curve stays as it was.
    document = json.loads((tmp_path / "c.json").read_text())
    del document["bounds"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    old = load_calibrator(tmp_path / "old.json")
    assert type(old) is type(calibrator.calibrator)
    np.testing.assert_array_equal(old.probability(DENSE), calibrator.calibrator.probability(DENSE))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bounds": {"low": 0.0, "high": 0.9, "orders": 5}}, "bounds: low: .*greater than 0.*given: 0.0"),
        ({"bounds": {"low": 0.9, "high": 0.1, "orders": 5}}, "low=0.9 lies above high=0.1"),
        ({"bounds": {"low": 0.1, "orders": 5}}, "bounds: high: missing"),
        ({"bounds": "none"}, "bounds: "),
        ({"slope": "steep"}, "slope is 'steep', not a finite number"),
        ({"slope": float("nan")}, "slope is nan, not a finite number"),
        ({"method": ["platt"]}, "calibration method .'platt'. is not one of"),
        ({"method": "isotonic"}, "scores is missing; the document has bounds, intercept, method, slope"),
        (
            {"method": "isotonic", "scores": [0.5, 0.1], "probabilities": [0, 1]},
            "do not make steps that rise",
        ),
        ({"method": "isotonic", "scores": [], "probabilities": []}, r"scores is \[\], not a list of numbers"),
    ],
)
def test_a_damaged_document_is_refused_with_its_path(change, words, tmp_path):
    bounds = {"low": 0.1, "high": 0.9, "orders": 5}
    document = {"method": "platt", "slope": 1.0, "intercept": 0.0, "bounds": bounds, **change}
    (tmp_path / "c.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"c.json: .*{words}"):
        load_calibrator(tmp_path / "c.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "7"])
def test_what_is_no_document_is_refused_with_its_path(text, tmp_path):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=r"c.json (is not JSON|holds a JSON)"):
        load_calibrator(tmp_path / "c.json")


@pytest.mark.parametrize("method", [*METHODS, "legacy"])
@pytest.mark.parametrize("frauds", [0, 9, 2000])
def test_one_class_or_few_frauds_cannot_be_calibrated_and_it_is_said_why(method, frauds):
    score = np.linspace(0.01, 0.99, 2000)
    words = "all 2000 labels are 1" if frauds == 2000 else f"2000 rows with {frauds} positives; at least"
    with pytest.raises(ValueError, match=words):
        fit_calibrator(method, score, np.arange(2000) < frauds)


@pytest.mark.parametrize("method", METHODS)
def test_a_score_alone_gets_the_probability_that_it_gets_among_others(method):
    score, label = separated(20_000, seed=5)
    calibrator = fit_calibrator(method, score, label)
    scores = np.concatenate([DENSE, score[:500]])
    alone = np.concatenate(
        [calibrator.probability(scores[place : place + 1]) for place in range(len(scores))]
    )
    assert alone.tobytes() == calibrator.probability(scores).tobytes()
