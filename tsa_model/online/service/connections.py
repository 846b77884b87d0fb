"""Connections of the server that send an answer in one piece, and take no head without an end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 2**16
"""Of a request's first line and header fields, or of what stands in their place behind a body."""


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
