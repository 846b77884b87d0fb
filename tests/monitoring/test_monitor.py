"""From the files of a run to a sealed document."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.scored_run import Scored

from tsa_model.batch import ENGINEERED, histories
from tsa_model.monitoring.documents import Monitoring
from tsa_model.monitoring.monitor import monitor
from tsa_model.sealed import write_sealed
from tsa_model.settings.monitoring import MonitoringConfig
from tsa_model.settings.run import RunConfig

CONFIG = MonitoringConfig(resamples=50)


@pytest.fixture(scope="module")
def found(scored: Scored, tmp_path_factory: pytest.TempPathFactory) -> Monitoring:
    scratch = tmp_path_factory.mktemp("monitored")
    return monitor(scored.scores, [scored.scores], CONFIG, scratch / "x", events=scored.events)


def test_every_order_of_the_score_file_is_counted_once(scored: Scored, found: Monitoring) -> None:
    table = pq.read_table(scored.scores / "scores.parquet")
    assert sum(day.orders for day in found.days) == table.num_rows
    assert sum(week.orders for week in found.weeks) == table.num_rows
    assert found.weeks[0].start.weekday() == 0
    assert found.reference_sha256 != found.model_digest


def test_days_are_realised_when_their_labels_are_due(scored: Scored, found: Monitoring) -> None:
    delay = scored.run.dataset.label_delay_days
    for day in found.days:
        due = (found.as_of - day.end).total_seconds() >= delay * 86_400
        assert day.is_labelled == due
        assert bool(day.realised) == due


def test_columns_and_histories_of_the_raw_orders_are_looked_at(scored: Scored, found: Monitoring) -> None:
    names = {one.title for one in found.days[-1].signals}
    for column in scored.run.dataset.raw_categorical:
        assert {f"unknown categories in {column}", f"drift of column {column}"} <= names
    assert {"history length by customer", "history length by card", "late orders"} <= names


def test_money_is_counted_where_the_run_has_an_amount(scored: Scored, found: Monitoring) -> None:
    assert scored.run.dataset.amount == "amount"
    amount = scored.events.set_index("order_id")["amount"]
    table = pq.read_table(scored.scores / "scores.parquet").to_pandas()
    realised = [week.realised for week in found.weeks if week.realised]
    assert realised
    counted = sum(figures["amount_saved"].value + figures["amount_lost"].value for figures in realised)
    labelled = table[(table["label"] == 1) & (table["order_time"] < _labelled_until(found))]
    assert counted == pytest.approx(amount[labelled["order_id"]].sum(), rel=1e-3)


def _labelled_until(found: Monitoring) -> pd.Timestamp:
    return pd.Timestamp(max(week.end for week in found.weeks if week.realised))


def test_the_document_is_sealed_and_reads_back(found: Monitoring, tmp_path: Path) -> None:
    write_sealed(tmp_path / "monitoring.json", found)
    assert Monitoring.load(tmp_path / "monitoring.json") == found
    text = (tmp_path / "monitoring.json").read_text()
    (tmp_path / "monitoring.json").write_text(text.replace('"level": "fine"', '"level": "look"', 1))
    with pytest.raises(ValueError, match="was edited"):
        Monitoring.load(tmp_path / "monitoring.json")


def test_a_column_in_another_unit_and_a_renamed_category_are_acted_on(scored: Scored, tmp_path: Path) -> None:
    events = scored.events.copy()
    day = pd.to_datetime(events["order_time"], unit="s", utc=True)
    broken = day >= datetime.fromisoformat("2025-04-10T00:00:00Z")
    events.loc[broken, "distance_km"] *= 100
    events.loc[broken, "country"] = events.loc[broken, "country"] + "_new"
    found = monitor(scored.scores, [scored.scores], CONFIG, tmp_path / "x", events=events)
    assert found.level == "act"
    assert {alarm.signal for alarm in found.alarms} >= {
        "drift of column distance_km",
        "unknown categories in country",
    }
    assert any("country" in reason for reason in found.reasons)
    assert all(alarm.since >= datetime.fromisoformat("2025-04-10T00:00:00Z") for alarm in found.alarms)


def test_labels_come_from_a_file_of_their_own(scored: Scored, tmp_path: Path) -> None:
    table = pq.read_table(scored.scores / "scores.parquet")
    without = table.drop_columns("label")
    pq.write_table(without, tmp_path / "scores.parquet")
    labels = table.select(["order_id", "label"])
    pq.write_table(labels, tmp_path / "labels.parquet")
    given = [tmp_path / "scores.parquet"]
    nothing = monitor(scored.scores, given, CONFIG, tmp_path / "x")
    assert not any(day.is_labelled for day in nothing.days)
    found = monitor(scored.scores, given, CONFIG, tmp_path / "x", labels=tmp_path / "labels.parquet")
    assert sum(day.frauds for day in found.days) == sum(table["label"].to_pylist())
    assert any(day.is_labelled for day in found.days)


def test_what_does_not_fit_is_refused_in_words(scored: Scored, tmp_path: Path) -> None:
    table = pq.read_table(scored.scores / "scores.parquet")
    with pytest.raises(ValueError, match="there is no file or folder"):
        monitor(scored.scores, [tmp_path / "absent"], CONFIG, tmp_path / "x")
    pq.write_table(table.drop_columns("score"), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="column 'score' is missing"):
        monitor(scored.scores, [tmp_path / "a.parquet"], CONFIG, tmp_path / "x")
    other = table.drop_columns("model_digest").append_column("model_digest", [["f" * 64] * table.num_rows])
    pq.write_table(other, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="was scored by the model"):
        monitor(scored.scores, [tmp_path / "a.parquet"], CONFIG, tmp_path / "x")
    with pytest.raises(ValueError, match="the first one is of"):
        monitor(scored.scores, [scored.scores], CONFIG, tmp_path / "x", as_of=datetime(2020, 1, 1))


def test_a_day_ends_what_is_known(scored: Scored, tmp_path: Path) -> None:
    moment = datetime.fromisoformat("2025-04-15T00:00:00Z")
    found = monitor(scored.scores, [scored.scores], CONFIG, tmp_path / "x", as_of=moment)
    assert max(day.end for day in found.days) <= moment
    assert found.as_of == moment


def test_own_values_are_those_of_the_batches(scored: Scored) -> None:
    rows = np.arange(0, len(scored.store), 7)
    categories, values = scored.store.own_values(rows)
    batch = scored.store.arrays(rows, "single")
    (history,) = histories(batch, "single")
    np.testing.assert_array_equal(categories, history.cat[:, -1, : categories.shape[1]])
    np.testing.assert_array_equal(values, np.concatenate([history.num[:, -1], batch[ENGINEERED]], axis=1))


def test_levels_are_settings_of_a_run_description() -> None:
    run = RunConfig.load("demo")
    assert run.monitoring == MonitoringConfig()
    with pytest.raises(ValueError, match="lies above act"):
        run.monitoring.changed(psi={"look": 0.5, "act": 0.2})
