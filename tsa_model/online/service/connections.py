"""Connections of the server: an answer leaves in one piece, a quick one as soon as its request is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

JSON = "application/json"
Send = Callable[[int, bytes], None]
"""Sends an answer: its status and its JSON."""
AnswerAtOnce = Callable[[bytes, bytes, Send], bool]
"""Path and body of a POST → whether it was answered; if not, nothing was done."""
MAX_HEAD_BYTES = 2**16
"""Of a request's first line and header fields, or of what stands in their place behind a body."""
QUICK_BYTES = 2**12
"""Of a body whose orders are scored in less time than another thread takes to wake up."""


class OneWrite(HttpToolsProtocol):
    """uvicorn's connection, but for a head that leaves together with the body behind it.

    Two pieces cost two calls of the system, and the client wakes up twice: a tenth of what an order takes.
    """

    _n_pending = 0
    """Bytes since the last head, piece of a body or end of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._n_pending += len(data)
        super().data_received(data)
        if self._n_pending > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request is longer than {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._n_pending = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._n_pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._n_pending = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()


class AtOnce(OneWrite):
    """A connection that has a usual, short request answered as soon as its last byte is read.

    Tasks, events and messages of ASGI take some 0.2 ms. An application that has an `at_once`
    (`AnswerAtOnce`) is asked there first; whatever it leaves, and every request that is not plain, goes the
    usual way.
    """

    def __init__(self, config: Any, *others: Any, **named: Any) -> None:
        super().__init__(config, *others, **named)
        self._at_once: AnswerAtOnce | None = getattr(config.app, "at_once", None)
        self._held: list[bytes] | None = None
        """The body so far of a request that may be answered at once; None = it goes the usual way."""
        self._n_held = 0
        """Its bytes."""

    def on_headers_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._held, self._n_held = [] if self._is_plain() else None, 0
        if self._held is None:
            super().on_headers_complete()
        else:
            self._n_pending = 0

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        if self._held is None:
            super().on_body(body)
            return
        self._n_pending = 0
        self._held.append(body)
        self._n_held += len(body)
        if self._n_held > QUICK_BYTES:
            self._let_go()

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        if self._held is not None:
            assert self._at_once is not None
            self._n_pending = 0
            if self._at_once(self.url, b"".join(self._held), self._send):
                self._held = None
                return
            self._let_go()
        super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether nothing about the request, its connection or the server asks for more than an answer."""
        parser, cycle = self.parser, self.cycle
        return (
            self._at_once is not None
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and not self._is_crowded()
        )

    def _is_crowded(self) -> bool:
        most = self.limit_concurrency
        return most is not None and max(len(self.connections), len(self.tasks)) >= most

    def _let_go(self) -> None:
        """Send what is held the usual way."""
        held, self._held = self._held, None
        super().on_headers_complete()
        for part in held or ():
            super().on_body(part)

    def _send(self, status: int, content: bytes) -> None:
        default = b"".join(b"%b: %b\r\n" % field for field in self.server_state.default_headers)
        head = b"content-length: %d\r\ncontent-type: %b\r\n\r\n" % (len(content), JSON.encode())
        self.transport.write(STATUS_LINE[status] + default + head + content)
        super().on_response_complete()


class _Joining:
    """A transport that gives the head of a response out with what is written next, at the latest at its end.

    Args:
        transport: gets the rest.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""

    def write(self, data: bytes) -> None:
        """See `asyncio.Transport`."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and data[9:10] != b"1":
            self._head = data
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data if head else data)

    def flush(self) -> None:
        """Give out what is kept."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """See `asyncio.Transport`."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's own."""
        return getattr(self._transport, name)
