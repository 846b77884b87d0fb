from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_contracts import suites
from data_contracts.context import check, check_measures
from data_contracts.findings import ContractViolation
from data_contracts.scores import FOLDERS, validate_scores
from tsa_model.scoring.files import Provenance, write_scores
from tsa_model.scoring.table import ScoreTable
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

SCORES = {
    "every score belongs to an order": ("order_id", [None, 2]),
    "every order is scored once": ("order_id", [2, 2]),
    "every order has a score": ("score", [np.nan, 0.1]),
    "every score lies in [0, 1]": ("score", [1.5, 0.1]),
    "every order has a percentile": ("percentile", [np.nan, 0.1]),
    "every percentile lies in [0, 1]": ("percentile", [-0.5, 0.1]),
    "every calibrated probability lies in [0, 1], where there is one": ("calibrated_probability", [2.0, 0.1]),
    "every label is 0, 1 or not known": ("label", [2, 1]),
}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "order_id": pd.array([1, 2], dtype="Int64"),
            "score": [0.2, 0.9],
            "percentile": [0.1, 1.0],
            "calibrated_probability": [np.nan, 0.5],
            "label": pd.array([None, 1], dtype="Int8"),
        }
    )


def test_sound_scores_keep_every_rule(frame: pd.DataFrame) -> None:
    assert [expectation.description for expectation in suites.scores()] == list(SCORES)
    assert all(finding.passed for finding in check(frame, suites.scores()))


@pytest.mark.parametrize("sentence", SCORES)
def test_each_rule_is_broken_by_a_frame(frame: pd.DataFrame, sentence: str) -> None:
    column, values = SCORES[sentence]
    changed = frame.assign(**{column: pd.array(values, dtype=frame[column].dtype)})
    broken = [f.sentence for f in check(changed, suites.scores(), name="order_id") if not f.passed]
    assert broken == [sentence]


def test_each_rule_about_files_is_broken_by_its_count() -> None:
    suite = suites.score_files()
    sound = pd.DataFrame([{"period": "test"} | {expectation.column: 0 for expectation in suite}])
    assert all(finding.passed for finding in check_measures(sound, suite, "period"))
    for place, expectation in enumerate(suite):
        findings = check_measures(sound.assign(**{expectation.column: 3}), suite, "period")
        assert [finding.passed for finding in findings].index(False) == place
        assert findings[place].detail == "test: 3"


@pytest.fixture
def scored(events: pd.DataFrame, run: RunConfig, tmp_path: Path) -> Path:
    """A store and the score files of its three later periods."""
    store = SequenceStore.build(events, run.dataset, tmp_path / "store")
    rng = np.random.default_rng(0)
    provenance = Provenance(run_id="run", model_digest="model", calibrator_digest=None, gate_id="gate")
    for period, folder in FOLDERS.items():
        score = rng.random(len(store.targets(period))).astype(np.float32)
        table = ScoreTable(
            order_id=store.order_ids(period),
            order_time=store.order_times(period),
            score=score,
            percentile=score.astype(np.float64),
            probability=None,
            label=store.labels(period),
        )
        write_scores(table, provenance, tmp_path / "scores" / folder)
    return tmp_path


def validate(folder: Path, run: RunConfig) -> dict:
    return validate_scores(
        folder / "scores", folder / "store", run, folder / "report.html", folder / "result.json"
    )


def drop_a_row(folder: Path) -> None:
    table = pd.read_parquet(folder / "scores.parquet")
    table.iloc[1:].to_parquet(folder / "scores.parquet")


def score_a_stranger(folder: Path) -> None:
    table = pd.read_parquet(folder / "scores.parquet")
    table.loc[0, "order_id"] = 10_000
    table.to_parquet(folder / "scores.parquet")


def flip_a_label(folder: Path) -> None:
    table = pd.read_parquet(folder / "scores.parquet")
    table["label"] = 1 - table["label"]
    table.to_parquet(folder / "scores.parquet")


def swap_lines(folder: Path) -> None:
    lines = (folder / "score_file.csv").read_text().split()
    (folder / "score_file.csv").write_text("\n".join(lines[::-1]) + "\n")


def lose_tags(folder: Path) -> None:
    (folder / "tag_file.csv").unlink()


def turn_percentiles(folder: Path) -> None:
    table = pd.read_parquet(folder / "scores.parquet")
    table["percentile"] = 1 - table["percentile"]
    table.to_parquet(folder / "scores.parquet")


def lose_everything(folder: Path) -> None:
    (folder / "scores.parquet").unlink()


def test_written_scores_keep_the_contract(scored: Path, run: RunConfig) -> None:
    store = SequenceStore.open(scored / "store")
    assert validate(scored, run)["rows"] == sum(len(store.targets(period)) for period in FOLDERS)
    content = json.loads((scored / "result.json").read_text())
    assert content["passed"] is True
    assert content["store_sha256"] == store.digest
    rates = [row[2] for row in content["tables"][0]["rows"]]
    assert rates == [f"{store.labels(period).mean():.2%}" for period in FOLDERS]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (drop_a_row, "every target of the store is scored"),
        (score_a_stranger, "no order is scored that is no target of the store"),
        (flip_a_label, "labels are those of the store"),
        (swap_lines, "the score file has the scores of the Parquet, line by line"),
        (lose_tags, "the tag file has the labels of the Parquet, line by line"),
        (turn_percentiles, "no higher score has a lower percentile"),
        (lose_everything, "every period has its score files"),
    ],
)
def test_faults_in_the_files_stop(scored: Path, run: RunConfig, fault: Callable, sentence: str) -> None:
    fault(scored / "scores" / "cali")
    with pytest.raises(ContractViolation, match=sentence):
        validate(scored, run)
