"""Debian's redis-server on a free port, and a way to it that can be slow."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.service import free_port


class RedisServer:
    """A server of its own; it keeps nothing unless it is told to."""

    def __init__(self, folder: Path, *options: str) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed (apt-get install redis-server)")
        self.folder, self.port, self._options = folder, free_port(), options
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        words = ["redis-server", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        self._process = subprocess.Popen(
            [*words, "--bind", "127.0.0.1", *self._options], stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 60
        while self.ask("PING") != "+PONG":
            assert time.monotonic() < end, "redis-server does not start"
            time.sleep(0.05)

    def ask(self, command: str) -> str:
        """The first line that is answered; empty = no answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
                link.sendall(command.encode() + b"\r\n")
                return link.makefile().readline().strip()
        except OSError:
            return ""

    def stop(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


class SlowWay:
    """A port that passes everything on to another, each answer later by some seconds."""

    def __init__(self, to: int) -> None:
        self.late_s, self._to = 0.0, to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(2**16):
                time.sleep(self.late_s if is_answer else 0)
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            each.close()
