"""One connection to Redis, and several commands sent over it at once."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
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

    The client library connects, signs in and speaks TLS; what is asked later goes straight to its socket: an
    order asks a dozen things, and the library's own way took some 0.2 ms more for them.

    Args:
        connection: of the library, connected.
    """

    def __init__(self, connection: Any) -> None:
        self._connection, self._socket = connection, connection._sock
        self._reader = hiredis.Reader(protocolError=redis.ConnectionError, replyError=redis.ResponseError)
        self._unread = select.poll()
        self._unread.register(self._socket, select.POLLIN)
        self._watches, self._n_unread = False, 0
        self.patience_s: float = TIMEOUT_S
        """How long an answer may take."""
        self.waited_s = 0.0
        """How long all answers took."""

    def ask(self, *commands: list[Any]) -> list[Any]:
        """Send commands at once, and return their answers.

        Raises:
            redis.RedisError: Redis does not answer, or one of them failed; the connection is of no more use.
        """
        answers: list[Any] = []
        began = time.perf_counter()
        try:
            if self._socket.gettimeout() != self.patience_s:
                self._socket.settimeout(self.patience_s)
            for first in range(0, len(commands), AT_ONCE):
                part = commands[first : first + AT_ONCE]
                if part[0][0] == b"WATCH":  # nothing else comes before it
                    self._watches = True
                self._n_unread = len(part)
                # In one piece: Redis wakes up once.
                self._socket.sendall(b"".join([hiredis.pack_command(tuple(command)) for command in part]))
                while self._n_unread:
                    answers.append(self._answer())
                    self._n_unread -= 1
        except TimeoutError as error:
            raise redis.TimeoutError(f"no answer within {self.patience_s:g} s") from error
        except OSError as error:
            raise redis.ConnectionError(str(error)) from error
        self.waited_s += time.perf_counter() - began
        return answers

    def _answer(self) -> Any:
        """The next answer."""
        while (answer := self._reader.gets()) is False:
            if not (data := self._socket.recv(2**16)):
                raise redis.ConnectionError("Redis closed the connection")
            self._reader.feed(data)
        if isinstance(answer, redis.ResponseError):
            raise answer
        return answer

    def done(self) -> None:
        """Nothing is watched any more: a transaction has ended."""
        self._watches = False

    def unwatch(self) -> None:
        """Leave the connection as it was.

        Raises:
            redis.RedisError: Redis does not answer, or has answers that nobody read, which the next who asks
                would take for its own.
        """
        if self._n_unread:
            raise redis.ConnectionError("answers were left unread")
        if self._watches:
            self.ask([b"UNWATCH"])
            self._watches = False

    def is_open(self) -> bool:
        """Whether nothing has come that nobody asked for, such as the end of the connection."""
        return not self._unread.poll(0)

    def close(self) -> None:
        """End the connection."""
        self._connection.disconnect()


class Links:
    """The connections to an address; those that are free are used again.

    Args:
        url: such as redis://host:6379/0.

    Raises:
        HistoryError: it is no such address.
    """

    def __init__(self, url: str) -> None:
        self._pool = pool_of(url)
        self._free: deque[Link] = deque()

    @contextmanager
    def one(self, patience_s: float = TIMEOUT_S) -> Iterator[Link]:
        """A connection of one's own; it is not used again where anything about it failed.

        Args:
            patience_s: how long an answer may take.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        link = self._taken()
        link.patience_s, link.waited_s = patience_s, 0.0
        try:
            yield link
        except redis.RedisError:
            link.close()
            raise
        except BaseException:
            try:
                link.unwatch()
            except redis.RedisError:
                link.close()
            else:
                self._free.append(link)
            raise
        try:
            link.unwatch()
        except redis.RedisError:
            link.close()
            raise
        self._free.append(link)

    def _taken(self) -> Link:
        """A free connection that still stands, or a new one."""
        while self._free:
            try:
                link = self._free.pop()
            except IndexError:  # another thread has just taken it
                break
            if link.is_open():
                return link
            link.close()
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        connection.connect()
        return Link(connection)

    def close(self) -> None:
        """End those that are free."""
        while self._free:
            self._free.pop().close()
