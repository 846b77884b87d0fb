"""Histories in Redis: the batch's tensors, several writers at once, and a Redis that fails."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.online import DAY_S, as_table, assert_same, description, iso, orders, over_redis
from support.redis_server import RedisServer, SlowWay

from tsa_model.online.history import Contradiction, HistoryError, StoreAway, TooOld, UnknownOrder
from tsa_model.online.loading import load_history, make_empty
from tsa_model.online.redis_link import Link, address_of
from tsa_model.online.redis_store import RedisStore
from tsa_model.online.stores import open_store
from tsa_model.sequences import SequenceStore


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return orders(120)


@pytest.fixture(scope="module")
def built(rows, tmp_path_factory) -> SequenceStore:
    return SequenceStore.build(as_table(rows), description(), tmp_path_factory.mktemp("built") / "store")


@pytest.fixture
def online(server, built):
    """Empty histories in an empty Redis."""
    server.ask("FLUSHALL")
    make_empty(built.description, server.url)
    return over_redis(server.url, built)


def without_label(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "fraud"}


def test_a_loaded_log_and_then_a_stream_over_two_replicas(server, rows, built) -> None:
    server.ask("FLUSHALL")
    counts = load_history(as_table(rows[:60]), built.description, server.url)
    replicas = [over_redis(server.url, built) for _ in range(2)]
    assert counts["orders"] == counts["kept"] == replicas[0].store.counts()["orders"] == 60
    assert replicas[0].store.counts()["blocks"] == counts["blocks"]
    for place, row in enumerate(rows[60:]):
        assert_same(replicas[place % 2].tensors([row]), built.batch([row["id"]]), row["id"])
        replicas[1 - place % 2].add(row)


def test_late_orders_and_labels_land_where_they_belong(server, built, tmp_path) -> None:
    server.ask("FLUSHALL")
    make_empty(built.description, server.url, late_days=20)
    online = over_redis(server.url, built)
    random = np.random.default_rng(1)
    rows = orders(60, 1, customers=2)
    wanted = SequenceStore.build(as_table(rows), built.description, tmp_path / "s", built.preprocessing)
    shuffled = [rows[place] for place in random.permutation(len(rows))]
    for first in range(0, len(rows), 7):
        online.add([without_label(row) for row in shuffled[first : first + 7]])
    for row in shuffled:
        if row["fraud"] is not None:
            online.add_labels([(row["id"], row["fraud"], row["when"])])
    assert_same(online.tensors([without_label(row) for row in rows]), wanted.batch([r["id"] for r in rows]))


def test_blocks_are_divided_and_dropped_as_in_a_folder(online, server, built) -> None:
    template = without_label(orders(1)[0])
    many = [dict(template, id=f"n{i:05d}", when=template["when"] + 5400 * i) for i in range(700)]
    for first in range(0, len(many), 50):
        online.add(many[first : first + 50])
    kept = online.store.counts()
    needed = (7 + 4 + 1.5) * 86_400 / 5400
    assert needed < kept["orders"] < needed + 2 * 64 + 5
    with pytest.raises(TooOld, match="comes too late"):
        online.add(dict(many[0], id="far too late", when=many[100]["when"]))
    with pytest.raises(UnknownOrder, match="no history needs it any more"):
        online.add_labels([(many[0]["id"], 1, iso(many[-1]["when"]))])


def test_all_or_none_and_once(online, rows) -> None:
    with pytest.raises(Contradiction):
        online.add([rows[0], rows[1], dict(rows[1], amount=1.0)])
    assert online.store.counts() == {"orders": 0, "blocks": 0}
    assert [online.add(rows[0]), online.add([rows[0], rows[0]])] == [1, 0]


def test_writers_at_once_lose_nothing(online, server, rows, built, tmp_path) -> None:
    """Orders of few customers through three replicas at once: each history is that of the batch."""
    replicas = [over_redis(server.url, built) for _ in range(3)]
    rows = rows[:60]
    mixed = [without_label(row) for row in rows]
    online.add(mixed[0])  # says how ids are read

    def send(number: int) -> None:
        for row in mixed[number::3]:
            replicas[number].add(row)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert online.store.counts()["orders"] == len(rows)
    unlabelled = as_table([{**row, "fraud": None} for row in rows])
    wanted = SequenceStore.build(unlabelled, built.description, tmp_path / "s", built.preprocessing)
    assert_same(online.tensors(mixed), wanted.batch([row["id"] for row in rows]))


def test_an_empty_redis_is_no_store_and_a_full_one_is_not_overwritten(server, rows, built) -> None:
    server.ask("FLUSHALL")
    with pytest.raises(HistoryError, match="make one with `tsa online load`"):
        open_store(server.url)
    load_history(as_table(rows[:9]), built.description, server.url)
    with pytest.raises(HistoryError, match="its orders would be lost"):
        make_empty(built.description, server.url)
    assert open_store(server.url).counts()["orders"] == 9


def test_a_load_that_fails_leaves_no_store(server, rows, built) -> None:
    server.ask("FLUSHALL")

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_history(as_table(rows), built.description, server.url, show=stop)
    assert server.ask("DBSIZE") == ":0"


def test_emptied_loaded_again_and_gone_back(online, server, rows, built) -> None:
    online.add(rows[0])
    server.ask("FLUSHALL")
    for ask in (
        lambda: online.add(rows[1]),
        lambda: online.tensors([rows[1]]),
        lambda: online.add_labels([(rows[0]["id"], 1, rows[0]["when"])]),
    ):
        with pytest.raises(StoreAway, match="holds no history store any more"):
            ask()
    load_history(as_table(rows[:60]), built.description, server.url)
    assert_same(online.tensors([rows[60]]), built.batch([rows[60]["id"]]))
    online.add(rows[60])
    name = online.store._state.root.decode() + "n"
    server.ask(f"DECR {name}")
    with pytest.raises(StoreAway, match="gone back to an older copy"):
        online.tensors([rows[61]])


def test_a_redis_that_throws_orders_away_is_refused(online, server) -> None:
    server.ask("CONFIG SET maxmemory 100mb")
    server.ask("CONFIG SET maxmemory-policy allkeys-lru")
    try:
        with pytest.raises(HistoryError, match="set maxmemory-policy noeviction"):
            RedisStore(server.url)
        online.store.flush()  # as the service does every second
        with pytest.raises(StoreAway, match="throws orders away"):
            online.add(orders(1))
    finally:
        server.ask("CONFIG SET maxmemory-policy noeviction")
        online.store.flush()
    server.ask("CONFIG SET maxmemory 1")
    try:
        with pytest.raises(StoreAway, match="OOM command not allowed"):
            online.add(orders(1))
    finally:
        server.ask("CONFIG SET maxmemory 0")
    assert online.add(orders(1)) == 1


def test_stopped_slow_and_back(rows, built, tmp_path) -> None:
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes")
    way = SlowWay(server.port)
    try:
        make_empty(built.description, server.url)
        online = over_redis(way.url, built)
        online.add(rows[0])
        way.late_s = 2.0
        with pytest.raises(StoreAway, match="Timeout"):
            online.add(rows[1])
        way.late_s = 0.0
        assert online.add(rows[:2]) <= 1
        server.stop()
        with pytest.raises(StoreAway, match="does not do its work"):
            online.add(rows[2])
        server.start()
        online.add(rows[2:60])
        assert online.store.counts()["orders"] == 60
        assert_same(online.tensors([rows[60]]), built.batch([rows[60]["id"]]))
    finally:
        server.stop()


def test_the_password_is_not_shown() -> None:
    assert address_of("redis://me:secret@host:6379/1") == "redis://host:6379/1"
    with pytest.raises(StoreAway) as caught:
        RedisStore("redis://me:secret@127.0.0.1:1/0")
    assert "secret" not in str(caught.value)


def test_a_customer_with_many_orders_costs_no_more_round_trips_than_one_with_a_few(
    server, built, monkeypatch
) -> None:
    """Recording the next order and dropping what a long pause has made old, too."""
    server.ask("FLUSHALL")
    template = dict(orders(1)[0], card=None)
    start = template["when"]

    def spread(n: int, **more: object) -> list[dict]:
        return [dict(template, id=f"{n} {i}", when=start + 3 * DAY_S * i / n, **more) for i in range(n)]

    log = [*spread(6000), *spread(50, who="few")]
    load_history(as_table(log), built.description, server.url, late_days=0)
    online, trips = over_redis(server.url, built), [0]
    ask = Link.ask

    def counted(link: Link, *commands: list) -> list:
        trips[-1] += 1
        return ask(link, *commands)

    monkeypatch.setattr(Link, "ask", counted)
    most = {}
    for who in (template["who"], "few"):
        trips.clear()
        for number in range(70):
            trips.append(0)
            when = start + 33 * DAY_S + 60 * number
            online.add(dict(without_label(template), who=who, id=f"{who} {number}", when=when))
        most[who] = max(trips)
    assert most[template["who"]] <= most["few"] + 8, most  # where blocks are dropped; never one per order
