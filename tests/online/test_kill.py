"""`kill -9` at any moment: no acknowledged order is lost or counted twice, and its answer stands."""

from __future__ import annotations

import json
import threading
from http.client import HTTPException

import numpy as np
import pytest
from support.online import assert_same, iso
from support.service import Client, Service, free_port

from tsa_model.online import OnlineScorer

KILLS = 5
CLIENTS = 4


@pytest.mark.slow
def test_no_acknowledged_order_is_lost_or_counted_twice(scored, tmp_path) -> None:
    events = scored.events.sort_values(["order_time", "order_id"])
    found = events.astype(object).where(events.notna(), None).to_dict("records")
    rows = [{**row, "order_time": iso(row["order_time"])} for row in found[:1200]]
    acknowledged: dict[int, dict] = {}
    port, random = free_port(), np.random.default_rng(0)
    # A customer's orders go through one client, in time order, as its shop would send them.
    queues = [[row for row in rows if row["customer_id"] % CLIENTS == number] for number in range(CLIENTS)]
    for kill in range(KILLS + 1):
        service = Service(scored.scores / "model", tmp_path / "store", port, tmp_path / "log")
        service.wait_until_ready()
        threads = [threading.Thread(target=send, args=(port, queue, acknowledged)) for queue in queues]
        for thread in threads:
            thread.start()
        if kill < KILLS:
            threads[0].join(float(random.uniform(0.2, 1.5)))
            service.kill()
        for thread in threads:
            thread.join()
        assert kill < KILLS or service.stop() == 143
    assert set(acknowledged) == {row["order_id"] for row in rows}
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path / "store")
    assert scorer.store.counts()["orders"] <= len(rows)
    for row in rows[-300:]:
        assert_same(scorer.tensors([row]), scored.store.batch([row["order_id"]]), row["order_id"])
        again = scorer.score(row)
        assert again.repeated
        assert again.score == acknowledged[row["order_id"]]["score"]
    scorer.close()


def send(port: int, queue: list[dict], acknowledged: dict[int, dict]) -> None:
    """Send orders one after the other until the server is gone; what was answered leaves the queue."""
    client = Client(port)
    try:
        while queue:
            status, body = client.send("POST", "/score", json.dumps(queue[0]).encode())
            assert status == 200, body
            acknowledged[queue[0]["order_id"]] = json.loads(body)
            queue.pop(0)
    except (OSError, HTTPException):
        return
