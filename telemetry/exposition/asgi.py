"""``metrics_app``: an ASGI application that serves one reader.

It answers every client: wrap it in ``AccessMiddleware`` to restrict access.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from telemetry.exposition.answer import (
    ANSWER_SECONDS,
    MAX_CONCURRENT_SCRAPES,
    Answer,
    BrokenAnswerError,
    Request,
    Responder,
    Scrape,
)
from telemetry.exposition.reader import PrometheusReader

__all__ = ["ASGIApp", "MetricsApp", "metrics_app", "send_answer"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_NOT_FOUND = Answer.plain(404, "no such path\n")
"""For ``/metrics%0a``: a router's pattern that ends in ``$`` matches it, but no rule of a proxy for ``/metrics`` does."""


class _Router(Protocol):
    """What ``add_to`` needs of FastAPI's and Starlette's applications and routers."""

    def add_route(self, path: str, route: Any, /, *, name: str, include_in_schema: bool) -> object: ...


class MetricsApp:
    """The ASGI application of ``metrics_app``. It answers each path that it is asked for, so a router places it.

    ``add_to(app)``, ``Route("/metrics", metrics)`` and ``app.add_route("/metrics", metrics)`` answer ``/metrics`` itself.
    ``app.mount("/metrics", metrics)`` answers ``/metrics/``; Starlette redirects ``/metrics`` there before this application is
    called, to the scheme that the server knows: ``http`` behind a proxy that ends TLS.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def add_to(self, app: _Router, path: str = "/metrics") -> None:
        """Serves ``path``, with and without a slash at its end, from a FastAPI or Starlette application, without a redirect.

        The routes are not in the OpenAPI document. ``root_path`` works as for other routes.
        """
        bare = path.rstrip("/")
        for one in (bare, bare + "/") if bare else ("/",):
            app.add_route(one, self, name="metrics", include_in_schema=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an HTTP request. A thread makes the body, and yields to the event loop every few hundred series.

        Raises:
            BrokenAnswerError: The body cannot be ended, or the client has not taken it in time; the server then aborts the
                connection.
        """
        if scope["type"] != "http":
            return
        method = scope["method"]
        admitted = _NOT_FOUND if scope["path"].endswith("\n") else self._responder.admit(method)
        if isinstance(admitted, Answer):
            await send_answer(send, admitted, method)
            return
        try:
            query = scope.get("query_string", b"").decode("latin-1")
            request = Request(method, query, _header(scope, b"accept"), _header(scope, b"accept-encoding"))
            answer = await asyncio.to_thread(admitted.answer, request)
            if answer.rest is None or method == "HEAD":
                await send_answer(send, answer, method)
            else:
                await _send_chunks(receive, send, answer, answer.rest)
        finally:
            admitted.close()


def metrics_app(
    reader: PrometheusReader,
    *,
    compress: bool = True,
    registry: CollectorRegistry | None = None,
    max_concurrent_scrapes: int = MAX_CONCURRENT_SCRAPES,
    answer_timeout: float = ANSWER_SECONDS,
) -> MetricsApp:
    """Returns an ASGI application for ``/metrics``.

    It answers ``GET`` and ``HEAD``, and 405 to other methods. ``Accept`` decides the format, ``Accept-Encoding`` the
    compression, and ``name[]`` parameters restrict the body to these samples. A scrape that cannot be answered in time, or
    after shutdown, gets 503 with the reason. A body above 64 KiB is made while it is sent, without ``content-length``.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        compress: Whether gzip and zstd may be used.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
        max_concurrent_scrapes: Scrapes that are answered at once; a further one gets 503 with the reason.
        answer_timeout: Seconds in which a client must take a body above 64 KiB; then its connection is aborted.

    Raises:
        ValueError: A limit is not above 0.
    """
    return MetricsApp(
        Responder(
            reader,
            compress=compress,
            registry=registry,
            max_concurrent_scrapes=max_concurrent_scrapes,
            answer_timeout=answer_timeout,
        )
    )


def _header(scope: Scope, name: bytes) -> str | None:
    """All values of a header, joined by commas."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ",".join(values) if values else None


async def send_answer(send: Send, answer: Answer, method: str) -> None:
    """Sends an answer whose body is one piece; to ``HEAD`` without it."""
    await send({"type": "http.response.start", "status": answer.status, "headers": _raw(answer)})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


async def _send_chunks(receive: Receive, send: Send, answer: Answer, scrape: Scrape) -> None:
    """Sends a body in chunks, each made when the one before it is taken, as long as the client is there."""
    gone = asyncio.Event()
    watching = asyncio.create_task(_watch(receive, gone))
    try:
        async with asyncio.timeout(scrape.seconds_left):
            await send({"type": "http.response.start", "status": answer.status, "headers": _raw(answer)})
            chunk, more = answer.body, True
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            while more and not gone.is_set():
                chunk, more = await asyncio.to_thread(scrape.read)
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
    except TimeoutError:
        scrape.give_up()
        raise BrokenAnswerError("the client did not take the answer in time") from None
    finally:
        watching.cancel()


async def _watch(receive: Receive, gone: asyncio.Event) -> None:
    """Sets ``gone`` when the client disconnects. A server need not fail when it is sent something then."""
    with suppress(Exception):
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        if message["type"] != "http.disconnect":
            message = await receive()  # behind the end of the request's body nothing else comes
        if message["type"] == "http.disconnect":
            gone.set()


def _raw(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers.items()]
