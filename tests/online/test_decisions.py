"""The decision log keeps every answer, and its audit names every difference from the batch."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support.service import free_port, in_process

from commands.audit import command
from tsa_model.audit.decisions import audit_decisions
from tsa_model.online import OnlineScorer, load_history
from tsa_model.online.decisions import SCHEMA, DecisionLog, read_decisions
from tsa_model.online.service.app import make_app
from tsa_model.online.service.handlers import Handlers

N_LOADED, N_STREAM = 1700, 40


def row(number: int) -> dict:
    return {
        "kind": "order",
        "received_us": number,
        "answered_us": number,
        "order_id": str(number),
        "content": "{}",
    }


def test_files_are_whole_and_of_bounded_size(tmp_path) -> None:
    log = DecisionLog(tmp_path, most_rows=10)
    for number in range(0, 25, 5):
        log.write([row(number + each) for each in range(5)])
    assert [each["order_id"] for each in read_decisions(tmp_path)] == [str(each) for each in range(25)]
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [each.suffix for each in files] == [".parquet"] * 3
    assert sorted(pq.read_metadata(each).num_rows for each in files) == [5, 10, 10]
    assert [each["order_id"] for each in read_decisions(tmp_path)] == [str(each) for each in range(25)]


def test_a_journal_of_a_killed_process_becomes_a_file(tmp_path) -> None:
    alive = DecisionLog(tmp_path)
    alive.write([row(1)])
    (journal,) = tmp_path.glob("*.journal")
    killed = tmp_path / "decisions-20250101T000000-0.journal"
    killed.write_bytes(journal.read_bytes() + json.dumps(row(2)).encode() + b'\n{"kind": "ord')
    DecisionLog(tmp_path).close()
    assert pq.read_table(killed.with_suffix(".parquet"), schema=SCHEMA)["order_id"].to_pylist() == ["1", "2"]
    assert not killed.exists()
    assert journal.exists(), "the log of a process that is alive is left alone"
    alive.close()


def test_a_folder_without_decisions_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no decisions"):
        read_decisions(tmp_path)


@pytest.fixture(scope="module")
def logged(scored, service_rows, tmp_path_factory):
    """A stream with an order that arrives late, and one that was scored from a tampered history."""
    folder = tmp_path_factory.mktemp("decisions")
    d = scored.store.description
    events = scored.events.sort_values([d.order_time, d.order_id]).reset_index(drop=True)
    before = events.iloc[:N_LOADED].copy()
    stream = service_rows[N_LOADED : N_LOADED + N_STREAM]
    known = set(before[d.customer_id])
    tampered = next(each for each in stream if each[d.customer_id] in known)
    earlier = before[d.customer_id] == tampered[d.customer_id]
    before.loc[earlier, "amount"] = before.loc[earlier, "amount"] * 3 + 1
    load_history(before, d, folder / "store")
    twice = [each for each in stream if each[d.customer_id] not in (tampered[d.customer_id],)]
    late, after = next(
        (one, two)
        for one in twice
        for two in twice
        if one[d.customer_id] == two[d.customer_id] and one["order_time"] < two["order_time"]
    )
    sent = [each for each in stream if each is not late] + [late]
    scorer = OnlineScorer.open(scored.scores / "model", folder / "store")
    app = make_app(Handlers(scorer, decisions=DecisionLog(folder / "log", most_rows=7)))
    with in_process(app, free_port()) as client:
        answers = [client.post("/score", each)[1] for each in sent]
        assert client.post("/score", sent[0])[1]["repeated"]
        client.post("/orders", service_rows[N_LOADED + N_STREAM])
        label = {"order_id": sent[0]["order_id"], "label": 0, "known_at": "2030-01-01T00:00:00Z"}
        assert client.post("/labels", label)[0] == 200
    scored.events.to_parquet(folder / "events.parquet")
    return folder, answers, tampered, late, after


def test_every_answer_is_logged_with_order_model_and_digest(logged) -> None:
    folder, answers, *_ = logged
    rows = read_decisions(folder / "log")
    assert [each["kind"] for each in rows] == ["score"] * (N_STREAM + 1) + ["order", "label"]
    for answer, each in zip(answers, rows, strict=False):
        assert json.loads(each["content"])["order_id"] == answer["order_id"]
        for name in ("score", "percentile", "model_digest", "gate_id", "inputs_digest", "repeated"):
            assert each[name] == answer[name]
        assert len(each["inputs_digest"]) == 32
        assert each["received_us"] <= each["answered_us"]
    assert rows[N_STREAM]["repeated"]


def test_every_difference_is_named(logged, scored, tmp_path) -> None:
    folder, _, tampered, late, after = logged
    found = audit_decisions(
        folder / "log", scored.scores / "model", folder / "events.parquet", tmp_path / "w"
    )
    reasons = {each.order_id: each for each in found.differences}
    assert (found.decisions, found.other_models) == (N_STREAM, 0)
    assert found.same + len(reasons) == N_STREAM
    assert reasons[str(tampered["order_id"])].reason == "skew"
    assert reasons[str(after["order_id"])].reason == "an order arrived late"
    assert reasons[str(after["order_id"])].detail == str(late["order_id"])
    assert not found.passed


def test_the_command_names_them_and_fails(logged, scored, tmp_path) -> None:
    folder, _, tampered, *_ = logged
    words = ["--decisions", folder / "log", "--events", folder / "events.parquet"]
    words += ["--model", scored.scores / "model"]
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 1
    assert f"order {tampered['order_id']}: skew" in result.output
    assert "an order arrived late" in result.output
