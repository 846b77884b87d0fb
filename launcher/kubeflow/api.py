"""Requests to an API of Kubeflow: tried again where that helps, refused in clear words where not.

The official client is not used here: it tries nothing again, keeps its own file in the home folder, follows
a redirect to a log-in page as if it were an answer, and does not look before it creates a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import requests
import tenacity
from requests.auth import AuthBase

from launcher.kubeflow.answers import (
    PIPELINES,
    Answers,
    ApiError,
    Json,
    NoAnswer,
    NotTheApi,
    OutcomeUnknown,
    Service,
)
from launcher.kubeflow.connection import Connection

PAGE_SIZE = 100
LONGEST_WAIT_S = 30.0
LONGEST_ASKED_WAIT_S = 300.0
"""A server that asks for a longer wait (Retry-After) is not waited for."""
OF_A_LIST = frozenset({"total_size", "next_page_token"})
"""What a list's answer may hold beside the list; an empty list is left out."""

T = TypeVar("T")


class _Bearer(AuthBase):
    """Send the token, as it is now."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := self._api.token():
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class Api:
    """The server behind a connection, as some verbs on its paths, which lie below the service's prefix."""

    def __init__(self, connection: Connection, service: Service = PIPELINES) -> None:
        self.connection, self.service = connection, service
        self._answers = Answers(connection, service)
        self._session = requests.Session()
        self._session.auth = _Bearer(self)  # even without a token: ~/.netrc is never asked

    def token(self) -> str:
        """The token as it is now, which from then on never shows."""
        token = self.connection.bearer()
        self._answers.secrets.add(token)
        return token

    def get(self, path: str, needs: str, **query: Any) -> Json:
        """Read one resource.

        Args:
            path: of the resource.
            needs: a field that the resource has.
            query: query parameters.
        """
        return self._again(lambda: self._send("GET", path, query, needs=needs))

    def pages(self, path: str, key: str, **query: Any) -> Iterator[Json]:
        """Read a list to its end, page by page.

        Args:
            path: of the list.
            key: name of the list in the answer.
            query: further query parameters.
        """
        token, read = "", {""}
        while True:
            page = self._again(
                lambda token=token: self._send(  # type: ignore[misc]
                    "GET", path, {"page_size": PAGE_SIZE, "page_token": token, **query}
                )
            )
            found, token = page.get(key) or [], page.get("next_page_token") or ""
            foreign = key not in page and set(page) - OF_A_LIST
            if foreign or not isinstance(found, list) or not isinstance(token, str):
                raise self._answers.strange(f"GET {path}", page)
            yield from found
            if not token:
                return
            if token in read:
                raise ApiError(f"{self.connection.host} repeats a page of {path} without end")
            read.add(token)

    def act(self, path: str) -> None:
        """Ask for something that may happen twice without harm, such as ":enable"."""
        self._again(lambda: self._send("POST", path, empty=True))

    def change(self, path: str, needs: str, **content: Any) -> Json:
        """Give some fields of a resource new values; twice has the same effect as once."""
        return self._again(lambda: self._send("PATCH", path, needs=needs, json=content))

    def delete(self, path: str, **query: Any) -> None:
        """Delete one resource; that it is already gone is fine."""
        try:
            self._again(lambda: self._send("DELETE", path, query, empty=True))
        except ApiError as error:
            if error.status != 404:
                raise

    def create(self, find: Callable[[], Json | None], path: str, needs: str, **request: Any) -> Json:
        """Create one resource, once.

        After a request whose outcome is not known the server is asked with `find` before another try.

        Args:
            find: returns what was created, None when it does not exist.
            path: of the list it joins.
            needs: a field that the resource has.
            request: `json`, or `files` and `query`.

        Raises:
            OutcomeUnknown: it may exist.
            ApiError: it does not exist.
        """
        unclear = False

        def once() -> Json:
            nonlocal unclear
            if unclear and (found := find()) is not None:
                return found
            unclear = True
            try:
                return self._send("POST", path, needs=needs, **request)
            except NotTheApi:
                found = find()
                unclear = False
                if found is None:
                    raise
                return found
            except NoAnswer as error:
                unclear = error.sent
                raise
            except ApiError:
                unclear = False
                raise

        try:
            return self._again(once)
        except ApiError as error:
            if unclear:
                raise OutcomeUnknown(str(error), error.status) from None
            raise

    def _again(self, request: Callable[[], T]) -> T:
        """Try as often as the connection allows."""
        connection = self.connection
        growing = tenacity.wait_exponential(multiplier=connection.retry_wait_s, max=LONGEST_WAIT_S)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait_s if isinstance(error, NoAnswer) else 0.0
            return max(growing(state), asked)

        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_attempt(connection.retries + 1),
            wait=wait,
            reraise=True,
        )
        return trying(request)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        needs: str = "",
        empty: bool = False,
        **request: Any,
    ) -> Json:
        connection = self.connection
        proxy = connection.proxy.get_secret_value() if connection.proxy else None
        try:
            answer = self._session.request(
                method,
                f"{connection.host}{self.service.prefix}{path}",
                params={name: value for name, value in (query or {}).items() if value != ""},
                timeout=connection.timeout_s,
                verify=str(connection.ca_file) if connection.ca_file else None,
                proxies={"http": proxy, "https": proxy} if proxy else None,
                allow_redirects=False,
                headers={"Accept": "application/json"},
                **request,
            )
        except requests.exceptions.RequestException as error:
            raise self._answers.unsent(error) from None
        except OSError as error:
            raise ApiError(f"{connection.host}: {self._answers.cause(error)}") from None
        content = self._answers.read(answer, f"{method} {path}")
        if (needs and not content.get(needs)) or (empty and content):
            raise self._answers.strange(f"{method} {path}", content)
        return content


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, NoAnswer) and error.wait_s <= LONGEST_ASKED_WAIT_S
