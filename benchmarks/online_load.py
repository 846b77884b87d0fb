"""Calls at a fixed rate: requests over HTTP whether answers come or not, and plain calls in turn."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

CLIENTS = 16


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
    """A kept connection that only sends bytes and reads an answer: what it costs is not the service's."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def post(self, body: bytes) -> None:
        """Ask for a score, and wait for the whole answer."""
        request = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(request.encode() + body)
        answer = self._socket.recv(2**16)
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(2**16)
        head, _, content = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(content) < length:
            content += self._socket.recv(2**16)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(content.decode())


def open_loop(bodies: list[bytes], rate: float, port: int) -> list[float]:
    """Latencies of requests that are due at a fixed rate, in seconds."""
    waiting: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()
    latencies: list[float] = []

    def work() -> None:
        with Client(port) as client:
            while (item := waiting.get()) is not None:
                due, body = item
                client.post(body)
                latencies.append(time.perf_counter() - due)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for place, body in enumerate(bodies):
        due = began + place / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        waiting.put((due, body))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    return latencies
