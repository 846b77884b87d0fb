"""What an answer of a Kubeflow server says, or the exception that it stands for.

Whatever comes from the server or from the network's libraries is rid of secrets here, before anybody
shortens, shows or keeps it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from launcher.errors import LauncherError
from launcher.kubeflow.connection import Connection
from launcher.secrets import blot, blot_whole

AGAIN = frozenset({429, 500, 502, 503, 504})
"""Answers after which another try may succeed."""
LONGEST_MESSAGE = 400
"""Characters of the server's own words that are shown."""

Json = dict[str, Any]


class Service(NamedTuple):
    """An API of Kubeflow: where it lies, and how messages speak of it."""

    prefix: str
    """Of every path."""
    name: str
    misplaced: str
    """What is wrong with the host when something else answers."""
    token: str
    """How a token is given."""
    refused: str
    """What to check when access is refused."""
    unknown: str
    """What to check when the server does not know a path."""


PIPELINES = Service(
    prefix="/apis/v2beta1",
    name="Kubeflow Pipelines API",
    misplaced="the host lacks a path such as /pipeline",
    token="--token-file, or KF_PIPELINES_TOKEN",
    refused="check --namespace, and that the account of the token may use Kubeflow Pipelines there",
    unknown="check --namespace, and that the host is right; behind the dashboard it ends in /pipeline",
)


class ApiError(LauncherError):
    """The server refused, or could not be understood; the text is for people."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 = no answer that could be read."""


class NoAnswer(ApiError):
    """The server did not answer, or with a status that may pass; what it did is not known."""

    def __init__(self, message: str, status: int = 0, wait_s: float = 0.0, sent: bool = True) -> None:
        super().__init__(message, status)
        self.wait_s = wait_s
        """How long the server asks to wait before another try."""
        self.sent = sent
        """Whether the request may have reached the server."""


class NotTheApi(ApiError):
    """The answer is no answer of this API, such as a log-in page; what the server did is not known."""


class OutcomeUnknown(ApiError):
    """Something may have been created: no answer said so, and none denied it."""


class Answers:
    """Reads the answers of one server."""

    def __init__(self, connection: Connection, service: Service = PIPELINES) -> None:
        self.connection, self.service = connection, service
        self.secrets = connection.secrets()
        """What must never show; a token of a file joins when it is sent."""

    def unsent(self, error: requests.exceptions.RequestException) -> ApiError:
        """What to raise for a request without a whole answer."""
        host, kinds = self.connection.host, requests.exceptions
        cause = self.cause(error)
        if isinstance(error, kinds.SSLError):
            return ApiError(
                f"{host}: no trusted connection ({cause}): name the server's certificate "
                "authority with --ca-file, or write http:// where the server speaks no TLS"
            )
        if isinstance(error, kinds.ProxyError):
            return NoAnswer(f"{host} cannot be reached through the proxy", sent=False)
        if isinstance(error, kinds.Timeout):
            sent = not isinstance(error, kinds.ConnectTimeout)
            return NoAnswer(f"{host} did not answer within {self.connection.timeout_s:g} s", sent=sent)
        if isinstance(error, (kinds.ChunkedEncodingError, kinds.ContentDecodingError)):
            return NoAnswer(f"{host} broke off in the middle of an answer ({cause})")
        if isinstance(error, kinds.ConnectionError):
            sent = not isinstance(_innermost(error), NewConnectionError)
            words = f"{host} cannot be reached ({cause}): check the host and the network"
            return NoAnswer(words, sent=sent)
        return ApiError(f"{host}: {cause}")

    def read(self, answer: requests.Response, request: str) -> Json:
        """The JSON of an answer, or the exception that it stands for."""
        status, connection = answer.status_code, self.connection
        text = blot_whole(answer.content.decode("utf-8", "replace"), self.secrets)
        try:
            content = json.loads(text) if text.strip() else {}
        except ValueError:
            content = None
        if 200 <= status < 300 and isinstance(content, dict):
            return content
        if 200 <= status < 300 and text.lstrip().startswith("{"):
            raise NoAnswer(f"{connection.host} broke off in the middle of its answer to {request}", status)
        said = self._message(content)
        if 200 <= status < 400:
            to = urlsplit(answer.headers.get("Location", ""))
            where = f" (it leads to {to.scheme}://{to.netloc}{to.path})" if to.netloc else ""
            raise NotTheApi(
                f"{connection.host} answers {request} with {status} without JSON{where}: this is no "
                f"{self.service.name}. Either the log-in has expired (give a token), or "
                f"{self.service.misplaced}"
            )
        if status == 401:
            words = (
                f"the server does not accept the token (401{said}): it is missing, expired or for another "
            )
            words += f"server. Give a new one with {self.service.token}"
        elif status == 403:
            where = f" in namespace {connection.namespace!r}" if connection.namespace else ""
            words = f"access{where} is refused (403{said}): {self.service.refused}; "
            words += "an expired token can give this answer too"
        elif status == 404:
            words = f"{connection.host} does not know {request} (404{said}): "
            words += self.service.unknown
        elif status in AGAIN:
            words = f"{connection.host} fails with {status} on {request}{said}"
            raise NoAnswer(words, status, _asked_wait_s(answer.headers.get("Retry-After", "")))
        else:
            words = f"{connection.host} refuses {request} ({status}{said})"
        raise ApiError(words, status if isinstance(content, dict) else 0)

    def strange(self, request: str, content: Json) -> NotTheApi:
        """For JSON that is not what the description of the API says."""
        shown = blot(json.dumps(content), self.secrets)[:100]
        return NotTheApi(
            f"{self.connection.host} answers {request} with JSON that is not of the {self.service.name} "
            f"({shown}): {self.service.misplaced}, or something else answers in its place"
        )

    def _message(self, content: Any) -> str:
        """What the server itself said, without secrets, shortened to a line."""
        said = content.get("message") or content.get("error") if isinstance(content, dict) else None
        return f": {' '.join(blot(str(said), self.secrets).split())[:LONGEST_MESSAGE]}" if said else ""

    def cause(self, error: BaseException) -> str:
        """The innermost reason of a chain of exceptions, without secrets."""
        reason = _innermost(error)
        return blot(str(reason), self.secrets).rpartition(": ")[2] or type(reason).__name__


def _innermost(error: BaseException) -> BaseException:
    while True:
        inner: Any = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _asked_wait_s(text: str) -> float:
    """Seconds of a Retry-After header, which holds them or a date; 0 = none that can be read."""
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max((moment.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
