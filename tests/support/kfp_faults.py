"""What goes wrong with an answer of the stub of the Kubeflow Pipelines API."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Literal


class Refused(Exception):
    """The answer is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Broken(Exception):
    """The answer does not arrive whole."""

    def __init__(self, body: bytes, how: str) -> None:
        super().__init__(how)
        self.body, self.how = body, how


@dataclass
class Fault:
    """One answer that goes wrong."""

    status: int
    method: str = ""
    path: str = ""
    """Part of the path; with `end` its end."""
    end: bool = False
    done: bool = False
    """The server does what it was asked, and fails only then."""
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    breaks: Literal["", "reset", "cut"] = ""
    """The connection is reset before the answer, or in the middle of it."""
    act: Callable[[], None] | None = None
    """What else happens at that moment."""
    stays: bool = False
    """Every such request goes wrong, not only the next one."""

    def fits(self, method: str, path: str) -> bool:
        """Whether this request is the one that goes wrong."""
        return method.startswith(self.method) and (
            path.endswith(self.path) if self.end else self.path in path
        )


def break_off(handler: BaseHTTPRequestHandler, broken: Broken) -> None:
    """Reset the connection, where wanted in the middle of the answer."""
    if broken.how == "cut":
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(broken.body)))
        handler.end_headers()
        handler.wfile.write(broken.body[: len(broken.body) // 2])
        handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
