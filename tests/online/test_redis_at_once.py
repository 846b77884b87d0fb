"""Redis is used at once while it answers in a moment; work at once does not wait, nor half happen."""

from __future__ import annotations

import json

import pytest
from support.online import as_table, description, orders, over_redis
from support.redis_server import SlowWay

from tsa_model.online.history import HistoryError, StoreAway, WouldWait
from tsa_model.online.loading import make_empty
from tsa_model.online.redis_link import META, Link
from tsa_model.online.redis_store import AT_ONCE_S, RedisStore
from tsa_model.sequences import SequenceStore

ROWS = orders(40)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> SequenceStore:
    return SequenceStore.build(as_table(ROWS), description(), tmp_path_factory.mktemp("built") / "store")


@pytest.fixture
def way(server, built) -> SlowWay:
    """To an empty store."""
    server.ask("FLUSHALL")
    make_empty(built.description, server.url)
    return SlowWay(server.port)


def test_a_slow_redis_is_not_near_and_not_waited_for(way, built) -> None:
    online = over_redis(way.url, built)
    store = online.store
    assert not store.is_near  # nothing is known of it yet
    online.add(ROWS[0])
    with store.at_once():
        online.add(ROWS[1])
    way.late_s = 2 * AT_ONCE_S
    with pytest.raises(WouldWait), store.at_once():
        online.add(ROWS[2])
    assert not store.is_near
    assert online.add(ROWS[2]) == 1, "it was recorded, and yet to be done anew"
    assert not store.is_near
    way.late_s = 0.0
    assert [online.add(row) for row in ROWS[2:5]] == [0, 1, 1]
    assert store.counts()["orders"] == 5


def test_a_redis_that_answers_in_a_moment_is_near(way, built, monkeypatch) -> None:
    monkeypatch.setattr("tsa_model.online.redis_store.NEAR_S", 60.0)  # whatever else this machine does
    online = over_redis(way.url, built)
    online.add(ROWS[0])
    assert online.store.is_near
    monkeypatch.setattr("tsa_model.online.redis_store.NEAR_S", 0.0)
    online.add(ROWS[1])
    assert not online.store.is_near


def test_who_may_not_wait_leaves_a_conflict_to_others(server, way, built) -> None:
    online, other = over_redis(server.url, built), over_redis(server.url, built)
    online.add(ROWS[0])
    (order,) = online.read([ROWS[0]])
    tries = []

    def work(transaction) -> None:
        entry = transaction.entry(order.name)
        tries.append(entry)
        if len(tries) == 1:
            other.store.write(lambda theirs: theirs.put_entry(order.name, entry.answered(b"other")))

    with pytest.raises(WouldWait), online.store.at_once():
        online.store.write(work)
    assert len(tries) == 1
    online.store.write(work)
    assert [entry.answer for entry in tries] == [b"", b"other"]


def test_a_store_of_another_version_is_refused(server, way, built) -> None:
    online = over_redis(server.url, built)
    content = json.loads(online.store._ask([b"GET", META])[0])
    del content["layout"]
    online.store._ask([b"SET", META, json.dumps(content)])
    with pytest.raises(HistoryError, match="of another version: empty its database"):
        RedisStore(server.url)
    with pytest.raises(StoreAway, match="of another version: empty its database"):
        online.add(ROWS[0])


def test_answers_that_an_interruption_left_unread_are_nobody_elses(server, way, built, monkeypatch) -> None:
    online = over_redis(server.url, built)
    online.add(ROWS[:5])
    wanted = online.tensors([ROWS[5]])
    answer, n_read = Link._answer, 0

    def interrupted(link: Link) -> object:
        nonlocal n_read
        n_read += 1
        if n_read == 3:
            raise KeyboardInterrupt
        return answer(link)

    monkeypatch.setattr(Link, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        online.store.counts()
    found = online.tensors([ROWS[5]])
    assert {name: x.tobytes() for name, x in found.items()} == {n: x.tobytes() for n, x in wanted.items()}
    assert online.add(ROWS[5]) == 1
