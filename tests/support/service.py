"""A client of the service, and the service as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None):
        """Status, and the body as bytes."""
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def get(self, path: str):
        status, body = self.send("GET", path)
        return status, json.loads(body)

    def post(self, path: str, content: object):
        """Status, and the JSON of the body."""
        status, body = self.send("POST", path, json.dumps(content).encode())
        return status, json.loads(body)


class Service:
    """A server process."""

    def __init__(self, model: Path, store: Path, port: int, log: Path) -> None:
        self.port, self._log = port, log.open("ab")
        words = ["serve", "--model", model, "--store", store, "--host", "127.0.0.1", "--port", port]
        self.process = subprocess.Popen(
            [sys.executable, "pipeline.py", *map(str, words)],
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait_until_ready(self, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server ended"
            try:
                if Client(self.port).send("GET", "/v2/health/ready")[0] == 200:
                    return
            except (OSError, HTTPException):
                time.sleep(0.1)
        raise AssertionError("the server does not get ready")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def in_process(app, port: int, **options):
    """The application on a real port, in a thread of this process."""
    import threading

    import uvicorn

    from tsa_model.online.service.connections import AtOnce

    options = {"port": port, "log_level": "error", "timeout_keep_alive": 600, "http": AtOnce} | options
    config = uvicorn.Config(app, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended"
        time.sleep(0.01)
    try:
        yield Client(port)
    finally:
        server.should_exit = True
        thread.join()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
