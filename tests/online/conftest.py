"""One small exported model with its store and its score files."""

from __future__ import annotations

import pytest
from support.online import iso
from support.redis_server import RedisServer
from support.scored_run import Scored


@pytest.fixture(scope="module")
def service_rows(scored: Scored) -> list[dict]:
    """Its orders as JSON holds them, by time."""
    events = scored.events.sort_values(["order_time", "order_id"])
    found = events.astype(object).where(events.notna(), None).to_dict("records")
    return [{**row, "order_time": iso(row["order_time"])} for row in found]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Redis of the module's own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
