"""The real server on this machine, started from the model folder, and a client of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
PATIENCE_S = 120.0
SERVE = (
    "import sys; from tsa_model.online.service.server import serve; serve(*sys.argv[1:4], int(sys.argv[4]))"
)


class Server:
    """A client of the server.

    Args:
        port: it listens on.
        process: the server.
    """

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process

    def post(self, path: str, content: Any) -> Any:
        """What the server answers.

        Raises:
            ValueError: it refuses the request.
        """
        status, body = self._ask("POST", path, json.dumps(content).encode())
        if status != 200:
            raise ValueError(f"the server answers {path} with {status}: {body.decode()[:500]}")
        return json.loads(body)

    def is_ready(self) -> bool:
        """Whether it takes requests."""
        try:
            return self._ask("GET", "/v2/health/ready")[0] == 200
        except (OSError, HTTPException):
            return False

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        # Each request has a connection of its own: the server closes one that rests for some seconds.
        connection = HTTPConnection(HOST, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def served(model_dir: Path, store_dir: Path, log: Path) -> Iterator[Server]:
    """Serve a model folder on a free port of this machine.

    Args:
        model_dir: the model folder.
        store_dir: a history store that nobody else has open.
        log: where the server's messages go.

    Raises:
        RuntimeError: the server does not start.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    here = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-c", SERVE, str(model_dir), str(store_dir), HOST, str(port)]
    with log.open("wb") as messages:
        process = subprocess.Popen(
            words, stdout=messages, stderr=messages, env={**os.environ, "PYTHONPATH": here}
        )
    try:
        yield _ready(Server(port, process), log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(server: Server, log: Path) -> Server:
    process, end = server.process, time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        if server.is_ready():
            return server
        time.sleep(0.1)
    problem = f"is not ready after {PATIENCE_S:g} s" if process.poll() is None else "ended"
    raise RuntimeError(f"the server {problem}: {log.read_text(errors='replace')[-1000:]}")
