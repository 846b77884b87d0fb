"""A store that cannot be written or read: 503 with the reason, no score, and afterwards all goes on."""

from __future__ import annotations

import resource
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest
from support.online import as_table, assert_same, description, histories, orders
from support.redis_server import RedisServer
from support.service import Client, free_port, in_process

from tsa_model.online import OnlineScorer
from tsa_model.online.history import StoreAway
from tsa_model.online.loading import make_empty
from tsa_model.online.service import app
from tsa_model.online.service.app import make_app
from tsa_model.online.service.handlers import Handlers
from tsa_model.sequences import SequenceStore


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path) -> None:
    rows = [{name: value for name, value in row.items() if name != "fraud"} for row in orders(300)]
    unlabelled = as_table([{**row, "fraud": None} for row in rows])
    built = SequenceStore.build(unlabelled, description(), tmp_path / "built")
    online = histories(tmp_path / "h", built)
    online.add(rows[:100])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "h" / "data.mdb").stat().st_size, hard))
    try:
        with pytest.raises(StoreAway, match="could not be written"):
            add_all(online, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    n_added = online.store.counts()["orders"]
    assert 100 <= n_added < len(rows)
    assert_same(online.tensors([rows[n_added]]), built.batch([rows[n_added]["id"]]))
    assert online.add(rows[n_added:]) == len(rows) - n_added


def add_all(online, rows: list[dict]) -> None:
    for row in rows[100:]:
        online.add(row)


def test_a_request_that_finds_no_thread_in_time_is_refused_and_the_others_are_answered(
    scored, service_rows, tmp_path, monkeypatch
) -> None:
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path / "store")
    scorer.add(service_rows[:200])
    monkeypatch.setattr(scorer.store, "is_near", False)
    monkeypatch.setattr(app, "MOST_WAIT_S", 0.5)
    port = free_port()
    with in_process(make_app(Handlers(scorer), threads=1), port) as client:
        with ThreadPoolExecutor() as pool, scorer.store.filling():  # the store hangs
            asked = [pool.submit(Client(port).post, "/score", row) for row in service_rows[200:202]]
            (refused,) = wait(asked, return_when=FIRST_COMPLETED).done
            status, answer = refused.result()
            assert (status, "score" in answer) == (503, False)
            assert "too many requests" in answer["error"]
            assert client.get("/v2/health/live")[0] == 200
        assert sorted(one.result()[0] for one in asked) == [200, 503]
        assert [client.post("/score", row)[0] for row in service_rows[200:202]] == [200, 200]


def test_the_service_answers_503_while_redis_is_stopped_or_empty(scored, service_rows, tmp_path) -> None:
    rows, server = service_rows, RedisServer(tmp_path / "redis")
    try:
        model = scored.scores / "model"
        make_empty(scored.store.description, server.url)
        scorer = OnlineScorer.open(model, server.url)
        scorer.add(rows[:200])
        with in_process(make_app(Handlers(scorer)), free_port()) as client:
            status, answer = client.post("/score", rows[200])
            assert (status, answer["order_id"]) == (200, rows[200]["order_id"])
            assert_same(scorer.tensors([rows[201]]), scored.store.batch([rows[201]["order_id"]]))
            server.stop()
            status, answer = client.post("/score", rows[201])
            assert (status, "score" in answer) == (503, False)
            assert "does not do its work" in answer["error"]
            server.start()
            for path in ("/score", "/orders"):
                status, answer = client.post(path, rows[201])
                assert status == 503
                assert "load it again" in answer["error"]
            assert client.get("/v2/health/live")[0] == 200
            make_empty(scored.store.description, server.url)
            assert client.post("/score", rows[201])[0] == 200
    finally:
        server.stop()
