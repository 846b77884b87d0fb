"""One connection to Redis, and several commands sent over it at once."""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import urlsplit

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tsa_model.online.history import HistoryError

META = b"tsa:store"
TIMEOUT_S = 1.0
"""Redis answers within this time, or the request is answered with 503."""
AT_ONCE = 1000
"""Commands that are sent before their answers are read."""
PASSWORD_VARIABLE = "TSA_REDIS_PASSWORD"
SCHEMES = ("redis://", "rediss://")


def is_redis(place: object) -> bool:
    """Whether a store's place is an address of Redis."""
    return str(place).startswith(SCHEMES)


def address_of(place: object) -> str:
    """A store's place for messages, without user and password."""
    if not is_redis(place):
        return str(place)
    parts = urlsplit(str(place))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def pool_of(url: str) -> redis.ConnectionPool:
    """Connections to an address such as redis://host:6379/0; none is made yet.

    The password may stand in the variable TSA_REDIS_PASSWORD instead.

    Raises:
        HistoryError: it is no such address.
    """
    options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": TIMEOUT_S}
    if (password := os.environ.get(PASSWORD_VARIABLE)) and not urlsplit(url).password:
        options["password"] = password
    try:
        return redis.ConnectionPool.from_url(
            url, socket_connect_timeout=TIMEOUT_S, decode_responses=False, protocol=2, **options
        )
    except ValueError as error:
        raise HistoryError(f"{address_of(url)} is no address of Redis: {error}") from None


class Link:
    """A connection that nobody else uses meanwhile.

    Args:
        connection: of the pool.
        patience_s: how long an answer may take; None = as long as Redis may take for one.
    """

    def __init__(self, connection: Any, patience_s: float | None = None) -> None:
        self._connection, self.patience_s = connection, patience_s
        self._watches = False
        self.waited_s = 0.0
        """How long all answers took."""

    def ask(self, *commands: list[Any]) -> list[Any]:
        """Send commands at once, and return their answers.

        Raises:
            redis.RedisError: Redis does not answer, or one of them failed; the connection is of no more use.
        """
        answers: list[Any] = []
        began, patience = time.perf_counter(), {}
        if self.patience_s is not None:
            patience["timeout"] = self.patience_s
        for first in range(0, len(commands), AT_ONCE):
            part = commands[first : first + AT_ONCE]
            self._watches |= any(command[0] == b"WATCH" for command in part)
            packed = b"".join([hiredis.pack_command(tuple(command)) for command in part])
            self._connection.send_packed_command([packed], check_health=False)  # in one piece: one wake-up
            answers += [self._connection.read_response(**patience) for _ in part]
        self.waited_s += time.perf_counter() - began
        return answers

    def done(self) -> None:
        """Nothing is watched any more: a transaction has ended."""
        self._watches = False

    def unwatch(self) -> None:
        """Leave the connection as it was."""
        if self._watches:
            self.ask([b"UNWATCH"])
            self._watches = False

    def drop(self) -> None:
        """The same, when the work failed for a reason of its own."""
        try:
            self.unwatch()
        except redis.RedisError:
            self._connection.disconnect()
