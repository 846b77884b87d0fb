"""Requests to the Kubeflow Pipelines API: tried again where that helps, refused in clear words where not.

The official client is not used here: it tries nothing again, keeps its own file in the home folder, follows
a redirect to a log-in page as if it were an answer, and does not look before it creates a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests.auth import AuthBase

from launcher.errors import LauncherError
from launcher.kubeflow.connection import Connection

PREFIX = "/apis/v2beta1"
PAGE_SIZE = 100
AGAIN = frozenset({429, 500, 502, 503, 504})
"""Answers after which another try may succeed."""

T = TypeVar("T")
Json = dict[str, Any]


class ApiError(LauncherError):
    """The server refused, or could not be understood; the text is for people."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 = no answer that could be read."""


class NoAnswer(ApiError):
    """The server did not answer, or with a status that may pass; what it did is not known."""


class _Bearer(AuthBase):
    """Send the token, as it is now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := self._connection.bearer():
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class Api:
    """The server behind a connection, as four verbs on its paths."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session = requests.Session()
        self._session.auth = _Bearer(connection)  # even without a token: ~/.netrc is never asked

    def get(self, path: str, **query: Any) -> Json:
        """Read one resource."""
        return self._again(lambda: self._send("GET", path, query))

    def pages(self, path: str, key: str, **query: Any) -> Iterator[Json]:
        """Read a list to its end, page by page.

        Args:
            path: below `PREFIX`.
            key: name of the list in the answer.
            query: further query parameters.
        """
        token = ""
        while True:
            page = self.get(path, page_size=PAGE_SIZE, page_token=token, **query)
            yield from page.get(key) or []
            token = page.get("next_page_token", "")
            if not token:
                return

    def act(self, path: str) -> None:
        """Ask for something that may happen twice without harm, such as ":enable"."""
        self._again(lambda: self._send("POST", path))

    def delete(self, path: str, **query: Any) -> None:
        """Delete one resource; that it is already gone is fine."""
        try:
            self._again(lambda: self._send("DELETE", path, query))
        except ApiError as error:
            if error.status != 404:
                raise

    def create(self, find: Callable[[], Json | None], path: str, **request: Any) -> Json:
        """Create one resource, once.

        After a request whose outcome is not known the server is asked with `find` before another try.

        Args:
            find: returns what was created, None when it does not exist.
            path: below `PREFIX`.
            request: `json`, or `files` and `query`.
        """
        tried = False

        def once() -> Json:
            nonlocal tried
            if tried and (found := find()) is not None:
                return found
            tried = True
            return self._send("POST", path, **request)

        return self._again(once)

    def _again(self, request: Callable[[], T]) -> T:
        """Try as often as the connection allows."""
        connection = self.connection
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(NoAnswer),
            stop=tenacity.stop_after_attempt(connection.retries + 1),
            wait=tenacity.wait_exponential(multiplier=connection.retry_wait_s, max=30),
            reraise=True,
        )
        return trying(request)

    def _send(self, method: str, path: str, query: Mapping[str, Any] | None = None, **request: Any) -> Json:
        connection = self.connection
        proxy = connection.proxy.get_secret_value() if connection.proxy else None
        try:
            answer = self._session.request(
                method,
                f"{connection.host}{PREFIX}{path}",
                params={name: value for name, value in (query or {}).items() if value != ""},
                timeout=connection.timeout_s,
                verify=str(connection.ca_file) if connection.ca_file else None,
                proxies={"http": proxy, "https": proxy} if proxy else None,
                allow_redirects=False,
                headers={"Accept": "application/json"},
                **request,
            )
        except requests.exceptions.SSLError as error:
            raise ApiError(
                f"{connection.host}: no trusted connection ({_cause(error)}): name the server's certificate "
                "authority with --ca-file, or write http:// where the server speaks no TLS"
            ) from None
        except requests.exceptions.ProxyError:
            raise NoAnswer(f"{connection.host} cannot be reached through the proxy") from None
        except requests.exceptions.Timeout:
            raise NoAnswer(f"{connection.host} did not answer within {connection.timeout_s:g} s") from None
        except requests.exceptions.ConnectionError as error:
            raise NoAnswer(
                f"{connection.host} cannot be reached ({_cause(error)}): check the host and the network"
            ) from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise ApiError(f"{connection.host}: {_cause(error)}") from None
        return self._content(answer, f"{method} {path}")

    def _content(self, answer: requests.Response, request: str) -> Json:
        """The JSON of an answer, or the exception that it stands for."""
        status, connection = answer.status_code, self.connection
        try:
            content = answer.json() if answer.content else {}
        except ValueError:
            content = None
        if 200 <= status < 300 and isinstance(content, dict):
            return content
        said = self._without_secrets(_message(content))
        if 200 <= status < 400:
            to = urlsplit(answer.headers.get("Location", ""))
            where = f" (it leads to {to.scheme}://{to.netloc}{to.path})" if to.netloc else ""
            text = (
                f"{connection.host} answers {status} without JSON{where}: this is no Kubeflow Pipelines API. "
                "Either the log-in has expired (give a token), or the host lacks a path such as /pipeline"
            )
        elif status == 401:
            text = f"the server does not accept the token (401{said}): it is missing, expired or for another "
            text += "server. Give a new one with --token-file, or KF_PIPELINES_TOKEN"
        elif status == 403:
            where = f" in namespace {connection.namespace!r}" if connection.namespace else ""
            text = f"access{where} is refused (403{said}): check --namespace, and that the account of the "
            text += "token may use Kubeflow Pipelines there; an expired token can give this answer too"
        elif status == 404:
            text = f"{connection.host} does not know {request} (404{said}): "
            text += "check --namespace, and that the host is right; behind the dashboard it ends in /pipeline"
        elif status in AGAIN:
            raise NoAnswer(f"{connection.host} fails with {status} on {request}{said}", status)
        else:
            text = f"{connection.host} refuses {request} ({status}{said})"
        raise ApiError(text, status if isinstance(content, dict) else 0)

    def _without_secrets(self, text: str) -> str:
        token = self.connection.bearer()
        return text.replace(token, "***") if token else text


def _message(content: Any) -> str:
    """What the server itself said, shortened to a line."""
    said = content.get("message") or content.get("error") if isinstance(content, dict) else None
    return f": {' '.join(str(said).split())[:400]}" if said else ""


def _cause(error: BaseException) -> str:
    """The innermost reason of a chain of exceptions."""
    reason: Any = error
    while True:
        inner = getattr(reason, "reason", None) or (reason.args[0] if getattr(reason, "args", ()) else None)
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return str(reason).rpartition(": ")[2] or type(reason).__name__
