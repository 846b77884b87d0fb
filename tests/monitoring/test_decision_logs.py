"""The decision log of a real service as the input of monitoring."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support.online import iso
from support.scored_run import Scored
from support.service import free_port, in_process

from commands.monitor import command
from tsa_model.monitoring.decision_logs import LogReader
from tsa_model.monitoring.documents import Monitoring
from tsa_model.monitoring.orders import ScoredDays, read_scored
from tsa_model.online import OnlineScorer, load_history
from tsa_model.online.decisions import SCHEMA, DecisionLog, read_decisions
from tsa_model.online.service.app import make_app
from tsa_model.online.service.handlers import Handlers

N_STREAM = 60


@pytest.fixture(scope="module")
def sent(scored: Scored) -> list[dict]:
    """Orders of the test period as JSON holds them."""
    times = scored.store.times_of(scored.store.targets("test"))
    start = times.min().astype("datetime64[s]").astype(np.int64)
    events = scored.events.sort_values(["order_time", "order_id"])
    late = events[events["order_time"] >= start].head(N_STREAM)
    rows = late.astype(object).where(late.notna(), None).to_dict("records")
    return [{**row, "order_time": iso(row["order_time"])} for row in rows]


@pytest.fixture(scope="module")
def log(scored: Scored, sent: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service that answered them, the first one twice, and was told two labels; a journal is still open."""
    folder = tmp_path_factory.mktemp("log")
    name = scored.run.dataset.order_time
    before = scored.events[scored.events[name].map(iso) < sent[0][name]]
    load_history(before, scored.run.dataset, folder / "store")
    scorer = OnlineScorer.open(scored.scores / "model", folder / "store")
    decisions = DecisionLog(folder / "log", most_rows=25)
    with in_process(make_app(Handlers(scorer, decisions=decisions)), free_port()) as client:
        for order in (*sent, sent[0]):
            assert client.post("/score", order)[0] == 200
        for order, label, known_at in (
            (sent[0], 0, sent[1][name]),
            (sent[0], 1, sent[1][name]),
            (sent[1], 1, "2030-01-01T00:00:00Z"),
        ):
            body = {"order_id": order["order_id"], "label": label, "known_at": known_at}
            assert client.post("/labels", body)[0] == 200
        copy = folder / "copy"
        copy.mkdir()
        for path in (folder / "log").iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    assert {path.suffix for path in copy.iterdir()} == {".parquet", ".journal"}
    return copy


def read(scored: Scored, *paths: Path) -> ScoredDays:
    digest = pq.read_table(scored.scores / "scores.parquet", columns=["model_digest"])[0][0].as_py()
    return read_scored(paths, digest, LogReader(scored.run.dataset, whole_ids=True))


def test_a_log_has_the_orders_of_the_score_file(scored: Scored, sent: list[dict], log: Path) -> None:
    found, batch = read(scored, log), read(scored, scored.scores)
    assert found.order_id.size == N_STREAM
    assert set(found.order_id.tolist()) == {row["order_id"] for row in sent}
    both, ours, theirs = np.intersect1d(found.order_id, batch.order_id, return_indices=True)
    assert both.size > N_STREAM / 2
    assert (found.time_us[ours] == batch.time_us[theirs]).all()
    np.testing.assert_allclose(found.score[ours], batch.score[theirs], atol=1e-5)
    np.testing.assert_allclose(found.probability[ours], batch.probability[theirs], atol=1e-3)
    assert not found.notes


def test_an_order_that_was_sent_again_has_its_first_answer(
    scored: Scored, sent: list[dict], log: Path
) -> None:
    rows = [row for row in read_decisions(log) if row["order_id"] == str(sent[0]["order_id"])]
    first, again = (row for row in rows if row["kind"] == "score")
    assert (first["repeated"], again["repeated"]) == (False, True)
    found = read(scored, log)
    row = int(np.flatnonzero(found.order_id == sent[0]["order_id"])[0])
    assert found.time_us[row] + found.waited_us[row] == first["answered_us"]


def test_labels_count_from_the_moment_on_when_they_are_known(
    scored: Scored, sent: list[dict], log: Path
) -> None:
    found = read(scored, log)
    first, second = (int(np.flatnonzero(found.order_id == row["order_id"])[0]) for row in sent[:2])
    assert (found.label == -1).all()
    known = found.until(N_STREAM, int(found.time_us[-1]))
    assert known.label[first] == 1, "the later of two labels counts"
    assert known.label[second] == -1
    in_2031 = int(np.datetime64("2031-01-01", "us").astype(np.int64))
    assert found.until(N_STREAM, in_2031).label[second] == 1


def test_the_command_takes_the_folder_of_a_log(scored: Scored, log: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.parquet"
    scored.events.to_parquet(events)
    words = ["--reference", str(scored.scores), "--scores", str(log), "--events", str(events)]
    done = CliRunner().invoke(command, [*words, "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    found = Monitoring.load(tmp_path / "out" / "monitoring.json")
    assert sum(day.orders for day in found.days) == N_STREAM
    (late,) = (one for one in found.days[0].signals if one.name == "late orders")
    assert "100.0% of the orders were answered more than 60 minutes late" in late.reason
    assert {"alert rate", "drift of the scores"} <= {one.name for one in found.days[0].signals}
    assert found.as_of - found.days[0].start < timedelta(days=len(found.days))


def test_a_log_of_other_ids_is_refused(scored: Scored, log: Path, tmp_path: Path) -> None:
    (file, *_) = sorted(log.glob("*.parquet"))
    table = pq.read_table(file, schema=SCHEMA)
    ids = pa.array(["A-7", *table["order_id"].to_pylist()[1:]])
    pq.write_table(
        table.set_column(table.schema.get_field_index("order_id"), "order_id", ids), tmp_path / "a"
    )
    with pytest.raises(ValueError, match="the order id 'A-7' does not fit the score files"):
        read(scored, tmp_path / "a")
