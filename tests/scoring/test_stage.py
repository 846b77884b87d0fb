"""What the scoring stage writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsa_model.calibration import PercentileMap, fit_calibrator
from tsa_model.evaluation.order_columns import store_amounts
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.files import sha256
from tsa_model.scoring import generate_scores
from tsa_model.scoring.files import Provenance, write_scores
from tsa_model.scoring.measuring import describe_probabilities
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.probability_section import probability_section
from tsa_model.scoring.rows import score_rows
from tsa_model.scoring.table import ScoredOrders, ScoreTable, check_scores, score_table
from tsa_model.sequences import SequenceStore

COLUMNS = [
    "order_id",
    "order_time",
    "score",
    "percentile",
    "calibrated_probability",
    "label",
    "model_digest",
    "calibrator_digest",
    "gate_id",
    "run_id",
]


@pytest.mark.parametrize("period", ["test", "vali", "cali"])
def test_every_target_of_a_period_is_scored_once_and_in_order(scored, period) -> None:
    folder = scored.scores if period == "test" else scored.scores / period
    table = pd.read_parquet(folder / "scores.parquet")
    assert list(table.columns) == COLUMNS
    assert table["order_id"].tolist() == list(scored.store.order_ids(period))
    assert table["label"].tolist() == scored.store.labels(period).tolist()
    assert table["order_time"].is_monotonic_increasing


def test_score_file_and_tag_file_are_rows_of_the_parquet(scored) -> None:
    table = pd.read_parquet(scored.scores / "scores.parquet")
    score = np.loadtxt(scored.scores / "score_file.csv", dtype=np.float32)
    np.testing.assert_array_equal(score, table["score"].to_numpy())
    assert np.loadtxt(scored.scores / "tag_file.csv", dtype=int).tolist() == table["label"].tolist()


def test_scores_are_those_of_the_network_and_of_a_row_alone(scored) -> None:
    rows = scored.store.targets("test")[:40]
    session = ScoringSession(scored.onnx / "model.onnx", SessionSettings())
    table = pd.read_parquet(scored.scores / "scores.parquet")
    alone = np.concatenate([score_rows(scored.store, session, rows[i : i + 1]).score for i in range(40)])
    np.testing.assert_allclose(alone, table["score"].to_numpy()[:40], rtol=0, atol=1e-6)
    back = score_rows(scored.store, session, rows[::-1]).score[::-1]
    np.testing.assert_allclose(back, alone, rtol=0, atol=1e-6)


def test_the_parquet_says_where_its_scores_come_from(scored) -> None:
    row = pd.read_parquet(scored.scores / "scores.parquet").iloc[0]
    assert row["model_digest"] == sha256(scored.onnx / "model.onnx")
    assert row["gate_id"] == scored.verdict.verdict_id
    manifest = json.loads((scored.scores / "manifest.json").read_text())
    assert manifest["run_id"] == row["run_id"]
    for name, entry in manifest["files"].items():
        assert sha256(scored.scores / name) == entry["sha256"], name
    assert manifest["files"]["scores.parquet"]["rows"] == len(scored.store.order_ids("test"))
    written = {
        path.relative_to(scored.scores).as_posix() for path in scored.scores.rglob("*") if path.is_file()
    }
    assert set(manifest["files"]) == written - {"manifest.json"}


def test_percentiles_are_those_of_the_calibration_period(scored) -> None:
    cali = pd.read_parquet(scored.scores / "cali" / "scores.parquet")["score"].to_numpy()
    table = pd.read_parquet(scored.scores / "scores.parquet")
    expected = PercentileMap.fit(cali).percentile(table["score"].to_numpy())
    np.testing.assert_array_equal(table["percentile"], expected)
    rows = np.loadtxt(scored.scores / "percentile_map.csv", delimiter=",", skiprows=1)
    assert rows.shape[1] == 2


def test_too_little_to_calibrate_on_is_said_and_leaves_the_probability_empty(scored) -> None:
    assert scored.metrics["calibration"].startswith("none: ")
    assert pd.read_parquet(scored.scores / "scores.parquet")["calibrated_probability"].isna().all()


def test_another_calibration_method_may_be_chosen(scored, tmp_path) -> None:
    run = scored.run.model_copy(
        update={"scoring": scored.run.scoring.model_copy(update={"calibration": "prior"})}
    )
    generate_scores(scored.store.directory, scored.onnx, run, tmp_path / "scores", tmp_path / "report.html")
    table = pd.read_parquet(tmp_path / "scores" / "scores.parquet")
    assert (table["calibrated_probability"] < table["score"]).all()  # training orders hold more fraud
    assert table["calibrator_digest"].iloc[0] == sha256(tmp_path / "scores" / "model" / "calibration.json")
    figures = json.loads((tmp_path / "scores" / "metrics.json").read_text())["probability"]
    assert figures["smallest"] == table["calibrated_probability"].min()
    assert figures["bounds"]["orders"] == scored.metrics["orders.cali"]
    assert figures["zeros"] == figures["ones"] == 0
    page = (tmp_path / "report.html").read_text()
    assert f"The lower bound {figures['bounds']['low']:.3g} is given to" in page


def test_written_probabilities_are_never_zero_or_one(tmp_path) -> None:
    score = np.concatenate([np.zeros(1500), np.linspace(0, 1, 1500), np.ones(1500)]).astype(np.float32)
    label = np.where(score == 1, 1, np.where((score > 0) & (np.arange(score.size) % 3 == 0), 1, 0))
    orders = ScoredOrders(
        np.arange(score.size), np.full(score.size, np.datetime64("2025-01-01", "us")), label
    )
    provenance = Provenance(run_id="r", model_digest="m", calibrator_digest="c", gate_id="g")
    for method in ("spline", "isotonic", "platt"):
        scores = score_table(score, orders, None, fit_calibrator(method, score, label))
        write_scores(scores, provenance, tmp_path / method)
        written = pd.read_parquet(tmp_path / method / "scores.parquet")["calibrated_probability"]
        text = written.to_csv(index=False, header=False).split()
        for values in (written, written.astype(np.float32), np.array(text, np.float32)):
            assert ((values > 0) & (values < 1)).all(), method


def test_the_report_shows_the_bound_and_the_counts_behind_it() -> None:
    score = np.concatenate([np.linspace(0.001, 0.2, 2000), np.linspace(0.8, 0.99, 400)])
    label = (np.arange(2400) >= 2000).astype(np.int64)
    pages = {}
    for method in ("spline", "legacy"):
        calibrator = fit_calibrator(method, score, label)
        figures = describe_probabilities(calibrator, calibrator.probability(score), label)
        pages[method] = "\n".join(probability_section(figures).sentences)
    assert "None is exactly 0 or 1." in pages["spline"]
    assert "The lower bound 0.0015 is given to" in pages["spline"]
    assert "2,000 score below every fraud and 400 above every genuine order" in pages["spline"]
    assert "orders have exactly 0" in pages["legacy"]
    assert "bound" not in pages["legacy"]


def test_the_same_inputs_give_the_same_bytes(scored, chain, tmp_path) -> None:
    outputs = tmp_path / "s", tmp_path / "r.html"
    generate_scores(scored.store.directory, scored.onnx, scored.run, *outputs, chain.places.events)
    for path in sorted(scored.scores.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "s" / path.relative_to(scored.scores)).read_bytes(), path
    assert (tmp_path / "r.html").read_bytes() == scored.report.read_bytes()


def test_the_report_is_complete_in_itself(scored) -> None:
    page = scored.report.read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http://" not in page
    assert "https://" not in page
    for words in ("ROC AUC", "logistic regression", "Gate scores", "equivalence verdict"):
        assert words in page


def test_another_store_is_refused(scored, tmp_path) -> None:
    shutil.copytree(scored.onnx, tmp_path / "onnx")
    other = SequenceStore.build(scored.events[:-1], scored.run.dataset, tmp_path / "store")
    with pytest.raises(ValueError, match="score with the store of the same run"):
        generate_scores(other.directory, tmp_path / "onnx", scored.run, tmp_path / "s", tmp_path / "r")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_changed_model_file_is_refused(scored, tmp_path, damage) -> None:
    shutil.copytree(scored.onnx, tmp_path / "onnx")
    path = tmp_path / "onnx" / "preprocessing.json"
    path.unlink() if damage == "missing" else path.write_text(path.read_text() + " ")
    with pytest.raises(ValueError, match=f"preprocessing.json (is|was) {damage}"):
        generate_scores(scored.store.directory, tmp_path / "onnx", scored.run, tmp_path / "s", tmp_path / "r")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_file": "../other.onnx"}, "was edited"),
        ({"verdict_id": "0" * 64}, "was edited"),
        ({"files": {"../onnx/model.onnx": "0" * 64}}, "which is no file in it"),
        ({"files": {}}, "is not listed in the manifest of"),
        ({"files": ["model.onnx"]}, "files: Input should be an object"),
        ({"session": {"rows_per_call": "64"}}, r"session\.rows_per_call: Input should be a valid integer"),
        ({"parity": None}, "parity: "),
        ({"weights": "0"}, "did you mean 'weights_sha256'"),
    ],
)
def test_an_edited_description_is_refused(scored, tmp_path, change, words) -> None:
    shutil.copytree(scored.onnx, tmp_path / "onnx")
    path = tmp_path / "onnx" / "onnx.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=words):
        ScoringModel.load(tmp_path / "onnx")


def test_a_calibrator_laid_into_the_model_folder_is_refused(scored, tmp_path) -> None:
    shutil.copytree(scored.onnx, tmp_path / "onnx")
    (tmp_path / "onnx" / "calibration.json").write_text("{}")
    with pytest.raises(ValueError, match=r"calibration\.json is not listed"):
        ScoringModel.load(tmp_path / "onnx")


def test_amounts_are_those_of_the_column_the_description_names(scored) -> None:
    ids = scored.store.ids_of(scored.store.targets("test"))
    orders = scored.events.set_index("order_id").loc[ids]
    for column in ("amount", "amount_per_item"):
        found = store_amounts(scored.store, scored.store.targets("test"), column)
        np.testing.assert_allclose(found, orders[column], rtol=1e-5, atol=1e-3)
    with pytest.raises(ValueError, match="made without the amount column 'price'"):
        store_amounts(scored.store, scored.store.targets("test"), "price")


def table(**changes) -> ScoreTable:
    columns = {
        "order_id": np.array(["a", "b"]),
        "order_time": np.array(["2025-01-01", "2025-01-02"], "datetime64[us]"),
        "score": np.array([0.5, 1.0], np.float32),
        "percentile": None,
        "probability": None,
        "label": np.array([0, -1]),
    }
    return ScoreTable(**{**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": np.array([0.5, np.nan], np.float32)}, "score: 2 values for 2 orders, 1 not in .* nan"),
        ({"score": np.array([0.5, 1.01], np.float32)}, "1 not in"),
        ({"probability": np.array([-0.1, 0.5])}, "probability: .* -0.1"),
        ({"percentile": np.array([0.5])}, "percentile: 1 values for 2 orders"),
        ({"order_id": np.array(["a", "a"])}, "'a'.* would be scored 2 times"),
        ({"label": np.array([0])}, "1 labels"),
    ],
)
def test_a_table_that_breaks_the_contract_is_refused(changes, words) -> None:
    check_scores(table())
    with pytest.raises(ValueError, match=words):
        check_scores(table(**changes))


def test_scores_that_are_no_numbers_stop_the_run(scored) -> None:
    class Broken:
        input_names = ["x_seq_cat_ccid"]

        def run(self, batch):
            n_rows = len(batch["x_seq_cat_cid"])
            return {"score": np.full(n_rows, np.nan, np.float32), "gate_scores": np.zeros((n_rows, 2))}

    with pytest.raises(ValueError, match="5 of 5 scores are not numbers"):
        score_rows(scored.store, Broken(), scored.store.targets("test")[:5])


def test_nothing_is_left_of_a_stage_that_failed(scored, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the folder of an exported model"):
        generate_scores(scored.store.directory, tmp_path / "no", scored.run, tmp_path / "s", tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
