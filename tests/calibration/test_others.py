"""Isotonic regression, Platt scaling, prior correction, and the percentile map."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tsa_model.calibration import (
    Isotonic,
    PercentileMap,
    Platt,
    PriorCorrection,
    fit_calibrator,
    load_calibrator,
)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    score = generator.beta(0.8, 4, 20_000)
    return score, (generator.random(20_000) < score).astype(int)


@pytest.mark.parametrize("method", ["spline", "isotonic", "platt"])
def test_calibrated_scores_stay_as_they_are(method, data, tmp_path):
    score, label = data
    calibrator = fit_calibrator(method, score, label)
    probability = calibrator.probability(score)
    assert abs(probability.mean() - label.mean()) < 1e-3
    assert np.abs(probability - score)[(score > 0.05) & (score < 0.5)].mean() < 0.03
    assert (np.diff(probability[np.argsort(score)]) >= 0).all()
    calibrator.save(tmp_path / "c.json")
    loaded = load_calibrator(tmp_path / "c.json")
    assert type(loaded) is type(calibrator)
    np.testing.assert_array_equal(loaded.probability(score), probability)


def test_platt_finds_the_logistic_curve_that_made_the_labels():
    generator = np.random.default_rng(1)
    score = generator.beta(1, 3, 100_000)
    odds = 0.7 * np.log(score / (1 - score)) - 1.2
    label = (generator.random(score.size) < 1 / (1 + np.exp(-odds))).astype(int)
    platt = Platt.fit(score, label)
    assert platt.slope == pytest.approx(0.7, abs=0.02)
    assert platt.intercept == pytest.approx(-1.2, abs=0.03)


def test_platt_refuses_scores_that_rank_fraud_lowest(data):
    score, label = data
    with pytest.raises(ValueError, match="rank fraud below genuine"):
        Platt.fit(1 - score, label)


def test_isotonic_needs_a_thousand_rows(data):
    score, label = data
    with pytest.raises(ValueError, match="at least 1000 rows"):
        Isotonic.fit(score[:999], label[:999])


def test_an_unknown_method_is_named(data, tmp_path):
    with pytest.raises(ValueError, match="'beta' is not one of spline, isotonic, platt"):
        fit_calibrator("beta", *data)
    (tmp_path / "c.json").write_text(json.dumps({"method": "beta"}))
    with pytest.raises(ValueError, match="'beta' is not one of"):
        load_calibrator(tmp_path / "c.json")


def test_prior_correction_undoes_downsampling(tmp_path):
    # 1 % fraud; one genuine order in ten is kept, and the model is right about what it sees.
    generator = np.random.default_rng(3)
    true = generator.beta(0.5, 49.5, 1_000_000)
    fraud = generator.random(true.size) < true
    seen = true / (true + 0.1 * (1 - true))
    kept = fraud | (generator.random(true.size) < 0.1)
    correction = PriorCorrection(fraud[kept].mean(), fraud.mean())
    np.testing.assert_allclose(correction.probability(seen), true, rtol=0.02, atol=1e-6)
    assert (correction.probability([0.0, 1.0]) == [0.0, 1.0]).all()
    correction.save(tmp_path / "c.json")
    assert load_calibrator(tmp_path / "c.json") == correction


def test_prior_correction_refuses_impossible_shares():
    with pytest.raises(ValueError, match=r"prior=0.0 is not in \(0, 1\)"):
        PriorCorrection(0.2, 0.0)


def test_the_percentile_of_a_score_is_the_next_table_entrys():
    table = PercentileMap.fit(np.arange(1, 2000) / 2000)
    assert table.scores.size == 1000
    scores = [-1.0, 0.0, 0.0001, 0.5, 0.50001, 0.9999, 1.0, 2.0]
    np.testing.assert_allclose(table.percentile(scores), [0, 0, 0, 0.5, 0.501, 1, 1, 1])
    alone = [table.percentile(np.array([score]))[0] for score in scores]
    assert alone == table.percentile(scores).tolist()
    assert table.percentile(0.5).shape == ()


def test_percentiles_of_the_calibration_scores_are_uniform():
    score = np.random.default_rng(0).beta(0.3, 9, 50_000)
    percentile = PercentileMap.fit(score).percentile(score)
    np.testing.assert_allclose(np.quantile(percentile, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=2e-3)


def test_the_percentile_map_is_the_same_table_in_json_and_csv(tmp_path):
    score = np.random.default_rng(0).random(5000)
    table = PercentileMap.fit(score)
    table.save(tmp_path / "map.json")
    table.save_csv(tmp_path / "map.csv")
    loaded = PercentileMap.load(tmp_path / "map.json")
    np.testing.assert_array_equal(loaded.percentile(score), table.percentile(score))
    with open(tmp_path / "map.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [[float(row["score"]), float(row["percentile"])] for row in rows] == json.loads(
        (tmp_path / "map.json").read_text()
    )["table"]


def test_a_percentile_map_needs_scores(tmp_path):
    with pytest.raises(ValueError, match="no calibration scores"):
        PercentileMap.fit([])
    (tmp_path / "map.json").write_text(json.dumps({"table": [[0.5, 0.0], [0.4, 0.001]]}))
    with pytest.raises(ValueError, match="not a table of sorted"):
        PercentileMap.load(tmp_path / "map.json")
