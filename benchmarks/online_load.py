"""Calls at a fixed rate: requests over HTTP whether answers come or not, and plain calls in turn."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

CLIENTS = 16
SLACK_S = 0.0005
"""How late a thread may wake up that waits for a moment: it watches the clock for so long instead."""
ACCEPTED_S = 0.2
"""A server has accepted all connections after that."""


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def paced(call: Callable[[Any], Any], arguments: list[Any], rate: float) -> list[float]:
    """Seconds of each call, where calls begin at a fixed rate."""
    found = []
    began = time.perf_counter()
    for place, argument in enumerate(arguments):
        time.sleep(max(0.0, began + place / rate - time.perf_counter()))
        found.append(timed(call, argument))
    return found


class Client:
    """A kept connection that only sends bytes and reads answers: what it costs is not the service's."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""

    def ask(self, body: bytes) -> None:
        """Ask for a score."""
        request = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(request.encode() + body)

    def is_answered(self) -> bool:
        """Read what has come, and say whether the answer is whole."""
        if not (found := self.socket.recv(2**16)):
            raise SystemExit("the service closed a connection")
        self._answer += found
        head, end, content = self._answer.partition(b"\r\n\r\n")
        if not end or len(content) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return False
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(content.decode())
        self._answer = b""
        return True


def open_loop(bodies: list[bytes], rate: float, port: int) -> list[float]:
    """Latencies of requests that are due at a fixed rate, in seconds.

    The first one is due when the server has accepted all connections. One thread does it all, so that no
    request waits until another thread wakes up, and it is awake when a request is due: else what is measured
    would be how late it wakes, some 0.2 ms.
    """
    with ExitStack() as stack:
        free = [Client(port) for _ in range(CLIENTS)]
        for client in free:
            stack.callback(client.socket.close)
        time.sleep(ACCEPTED_S)
        busy: dict[socket.socket, tuple[Client, float]] = {}
        latencies: list[float] = []
        n_asked, began = 0, time.perf_counter()
        while len(latencies) < len(bodies):
            due = began + n_asked / rate
            now = time.perf_counter()
            if n_asked < len(bodies) and now >= due and free:
                client = free.pop()
                client.ask(bodies[n_asked])
                busy[client.socket] = client, due
                n_asked += 1
                continue
            is_next = n_asked < len(bodies) and free
            wait_s = max(0.0, due - now - SLACK_S) if is_next else None
            for found in select.select(list(busy), [], [], wait_s)[0]:
                client, since = busy[found]
                if client.is_answered():
                    latencies.append(time.perf_counter() - since)
                    del busy[found]
                    free.append(client)
        return latencies
