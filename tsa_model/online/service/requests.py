"""What a request may hold: JSON of bounded size, one meaning each, or a status and one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from tsa_model.strict_json import no_number, once

MAX_BYTES = 16 * 2**20
"""Of a request's body."""
MAX_ORDERS = 1000
"""Of one request."""


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.details = status, message, dict(details or {})


async def body_of(receive: Receive) -> bytes:
    """The body that a request's messages bring.

    Raises:
        Refused: it is too large.
        ClientDisconnect: the rest of it never came.
    """
    parts, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BYTES:
            raise Refused(413, f"the request is larger than {MAX_BYTES:,} bytes: send fewer orders at once")
        parts.append(part)
        is_more = message.get("more_body", False)
    return b"".join(parts)


def parsed(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Refused: it is none, or a key stands twice.
    """
    try:
        text = body.decode("utf-8")
        return json.loads(text) if text.startswith("\ufeff") else _DECODER.decode(text)
    except RecursionError:
        raise Refused(400, "the request is nested too deeply") from None
    except UnicodeDecodeError:
        raise Refused(400, "the request is not UTF-8") from None
    except ValueError as error:
        message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise Refused(400, f"the request is no valid JSON: {message[:200]}") from None


def objects(content: Any, what: str) -> tuple[list[dict[str, Any]], bool]:
    """One JSON object or a list of them; and whether it was a list.

    Raises:
        Refused: it is something else, or too many.
    """
    is_list = isinstance(content, list)
    rows = content if is_list else [content]
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refused(422, f"{what} {place} is a {_type_of(row)}: send a JSON object with its columns")
    if not rows:
        raise Refused(422, f"the list is empty: send at least one {what}")
    if len(rows) > MAX_ORDERS:
        raise Refused(
            413, f"{len(rows):,} are more than {MAX_ORDERS:,} at once: send them in several requests"
        )
    return rows, is_list


def _type_of(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


_DECODER = json.JSONDecoder(object_pairs_hook=once, parse_constant=no_number)
"""Made once: to make one takes as long as to read an order."""
