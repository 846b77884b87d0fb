"""The endpoints.

Work is done in threads, so that the server goes on taking requests; a quick request is worked on at once
while no thread is at work that it could wait for. Few threads work at once: more of them take the interpreter
from each other. What a request holds is never logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope
from starlette.types import Send as SendMessage

from tsa_model.events.errors import BadEvents
from tsa_model.export.file_names import MODEL_NAME
from tsa_model.online.cells import WrongOrder
from tsa_model.online.history import Contradiction, HistoryError, StoreAway, UnknownOrder, WouldWait
from tsa_model.online.service import protocol
from tsa_model.online.service.connections import JSON, Send
from tsa_model.online.service.describe import description_of
from tsa_model.online.service.handlers import Handler, Handlers
from tsa_model.online.service.requests import Refused, body_of

log = logging.getLogger("tsa.serve")
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (WrongOrder, 422),
    (BadEvents, 422),
    (HistoryError, 422),
    (Contradiction, 409),
    (UnknownOrder, 404),
    (StoreAway, 503),
)
"""What is raised → the status of the answer."""
AT_ONCE = 2
"""Requests that threads work on: one computes while the other waits for a store or in ONNX Runtime."""
MOST_WAIT_S = 10.0
"""A request waits so long for a thread, where a store hangs, for instance."""
Errors = Callable[[Exception], Response]


def make_app(handlers: Handlers, threads: int = AT_ONCE) -> Starlette:
    """The application over an opened scorer.

    Args:
        handlers: what the endpoints do.
        threads: requests that threads work on at once.
    """
    at_work = anyio.CapacityLimiter(threads)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(handlers.start)
        yield
        await run_in_threadpool(handlers.close)

    work = _work(handlers, at_work)
    routes = [Route(path, endpoint, methods=["POST"]) for path, endpoint in work.items()]
    return _Application(work, [*routes, *_protocol(handlers, at_work), *_about(handlers)], lifespan)


class _Application(Starlette):
    """Hands work to its endpoint at once; the routes, which take longer, find all else.

    Args:
        work: path → what a POST there is answered by; each is among the routes too.
        routes: all of them.
        lifespan: starts and ends the service.
    """

    def __init__(self, work: Mapping[str, _Post], routes: Sequence[BaseRoute], lifespan: Any) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self._endpoints = work
        self._by_target = {path.encode(): endpoint for path, endpoint in work.items()}

    def at_once(self, target: bytes, body: bytes, send: Send) -> bool:
        """Answer a POST; False where that may take time, or is no work, and nothing was done."""
        endpoint = self._by_target.get(target)
        return endpoint is not None and endpoint.at_once(body, send)

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._endpoints:
            await self._endpoints[scope["path"]](scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _work(handlers: Handlers, at_work: anyio.CapacityLimiter) -> dict[str, _Post]:
    """Orders, labels and rows in, answers out; by path."""
    endpoints: dict[str, tuple[str, Handler]] = {
        "/score": ("score", handlers.score),
        "/orders": ("orders", handlers.add),
        "/labels": ("labels", handlers.label),
        "/predict": ("predict", handlers.predict),
        f"/v1/models/{MODEL_NAME}:predict": ("predict", handlers.predict),
    }
    return {
        path: _Post(name, handler, handlers, at_work, failed) for path, (name, handler) in endpoints.items()
    }


def _protocol(handlers: Handlers, at_work: anyio.CapacityLimiter) -> list[Route]:
    """The Open Inference Protocol."""

    async def live(_: Request) -> Response:
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        return _json({"ready": handlers.is_ready}, 200 if handlers.is_ready else 503)

    async def model_ready(request: Request) -> Response:
        protocol.known_model(request)
        return await ready(request)

    async def server_metadata(_: Request) -> Response:
        return _json(protocol.SERVER)

    async def model_metadata(request: Request) -> Response:
        return _json(protocol.metadata(handlers.scorer.model, protocol.known_model(request)))

    infer = _Post("infer", handlers.infer, handlers, at_work, failed_v2)
    routes = [Route("/v2/health/live", live), Route("/v2/health/ready", ready)]
    routes += [Route(path, server_metadata) for path in ("/v2", "/v2/")]
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(base, _guarded(model_metadata)),
            Route(f"{base}/ready", _guarded(model_ready)),
            Route(f"{base}/infer", infer, methods=["POST"]),
        ]
    return routes


def _about(handlers: Handlers) -> list[Route]:
    """What the service says of itself."""

    async def metrics_page(_: Request) -> Response:
        return Response(handlers.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(_: Request) -> Response:
        return _json(description_of(handlers.scorer.model))

    return [Route("/metrics", metrics_page), Route("/openapi.json", openapi)]


class _Post:
    """An endpoint whose work is counted and timed; an ASGI application of its own.

    Args:
        name: in the metrics.
        handler: does the work.
        handlers: whose metrics count it.
        at_work: how many threads may work.
        errors: makes the answer to a request that failed.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        handlers: Handlers,
        at_work: anyio.CapacityLimiter,
        errors: Errors,
    ) -> None:
        self._name, self._handler, self._handlers = name, handler, handlers
        self._at_work, self._errors = at_work, errors

    def at_once(self, body: bytes, send: Send) -> bool:
        """Answer a quick request; False where it is none, and nothing was done."""
        handlers, began = self._handlers, time.perf_counter()
        if handlers.in_threads or not handlers.is_quick(body):
            return False
        try:
            content, status = _packed(handlers.at_once(self._handler, body)), 200
        except WouldWait:
            return False
        except Exception as error:
            response = self._errors(error)
            content, status = bytes(response.body), response.status_code
        seconds = time.perf_counter() - began
        try:
            send(status, content)
        finally:
            handlers.metrics.answered(self._name, status, seconds)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Answer a request."""
        began = time.perf_counter()
        try:
            content = await self._work(await body_of(receive), Request(scope))
            response = _json(content)
        except Exception as error:
            response = self._errors(error)
        seconds = time.perf_counter() - began
        try:
            await response(scope, receive, send)
        finally:  # counted once it is sent, so that nobody waits for it
            self._handlers.metrics.answered(self._name, response.status_code, seconds)

    async def _work(self, body: bytes, request: Request) -> Any:
        handlers = self._handlers
        if not handlers.in_threads and handlers.is_quick(body):
            try:
                return handlers.at_once(self._handler, body, request)
            except WouldWait:
                pass  # a thread may wait
        handlers.in_threads += 1
        try:
            with anyio.move_on_after(MOST_WAIT_S) as waiting:
                await self._at_work.acquire()
            if waiting.cancelled_caught:
                raise Refused(503, "too many requests are in hand; nothing was scored: try again later")
            try:
                return await run_in_threadpool(self._handler, body, request)
            finally:
                self._at_work.release()
        finally:
            handlers.in_threads -= 1


def failed(error: Exception) -> Response:
    """The answer to a request that failed; a fault of our own is logged without any value of the request."""
    status, content = _status_of(error)
    return _json(content, status)


def failed_v2(error: Exception) -> Response:
    """The same in the protocol's form, which knows one status for wrong requests."""
    status, content = _status_of(error)
    return _json({"error": content["error"]}, 400 if status == 422 else status)


def _status_of(error: Exception) -> tuple[int, dict[str, Any]]:
    if isinstance(error, Refused):
        return error.status, {"error": error.message, **error.details}
    for kind, status in STATUS:
        if isinstance(error, kind):
            content: dict[str, Any] = {"error": str(error)}
            if isinstance(error, WrongOrder):
                content |= {
                    "row": error.row,
                    "column": error.column,
                    "value": error.value,
                    "problem": error.problem,
                    "remedy": error.remedy,
                }
            if status == 503:
                log.error("the history store is away: %s", error)
            return status, content
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    log.error("%s in %s", type(error).__name__, where)
    return 500, {"error": f"an error of the server ({type(error).__name__}); nothing was scored"}


def _guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return failed_v2(error)

    return answer


def _json(content: Any, status: int = 200) -> Response:
    return Response(_packed(content), status, media_type=JSON)


def _packed(content: Any) -> bytes:
    return content if isinstance(content, bytes) else protocol.dumps(content)
