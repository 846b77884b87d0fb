"""Reasons in the scoring stage: of the alerts, in the table, the figures and the report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.scored_run import Scored

from tsa_model.reasons.alerts import explain_rows
from tsa_model.scoring.files import read_score_folder
from tsa_model.scoring.model import ScoringModel


@pytest.fixture(scope="module")
def metrics(scored: Scored) -> dict:
    return json.loads((scored.scores / "metrics.json").read_text())


@pytest.fixture(scope="module")
def table(scored: Scored) -> pd.DataFrame:
    return pd.read_parquet(scored.scores / "reasons.parquet")


def test_every_alert_is_explained(scored: Scored, metrics: dict, table: pd.DataFrame) -> None:
    scores = pd.read_parquet(scored.scores / "scores.parquet").set_index("order_id")["score"]
    threshold = next(iter(metrics["thresholds"].values()))
    alerts = scores[scores >= threshold]
    explained = alerts.sort_values(ascending=False)[:5]
    assert len(explained) > 0
    found = table.groupby("order_id", sort=False)["score"].first()
    assert found.to_numpy() == pytest.approx(explained.to_numpy(), abs=1e-6)
    assert set(found.index) <= set(alerts.index)
    figures = metrics["reasons"]
    assert (figures["alerts"], figures["explained"]) == (len(alerts), len(explained))
    sides = table[table["level"] == "a"].groupby("order_id").size()
    assert (sides == 3).all()
    assert table["words"].str.len().min() > 0


def test_an_alert_has_the_reasons_that_it_has_alone(scored: Scored, table: pd.DataFrame) -> None:
    order = table["order_id"].iloc[-1]
    row = scored.store.rows_of([order])
    rules = ScoringModel.load(scored.scores / "model").rules()
    (alone,) = explain_rows(rules, scored.store, np.asarray(row))
    ours = table[table["order_id"] == order]
    assert ours["contribution"].tolist() == [reason.contribution for reason in alone.explanation.reasons]
    assert ours["words"].tolist() == [reason.words for reason in alone.explanation.reasons]


def test_the_table_is_sealed_with_the_scores_and_the_report_tells_of_it(
    scored: Scored, metrics: dict
) -> None:
    assert "reasons.parquet" in read_score_folder(scored.scores).files
    page = scored.report.read_text()
    assert 'id="reasons"' in page
    assert "Against the truth" in page
    causes = {each["cause"] for each in metrics["reasons"]["truth"]["causes"]}
    assert causes
    assert causes <= {"order", "customer", "card"}
