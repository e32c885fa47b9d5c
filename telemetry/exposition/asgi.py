"""``metrics_app``: an ASGI application that serves one reader.

It answers every client: wrap it in ``AccessMiddleware`` to restrict access.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from telemetry.exposition.answer import Answer, Request, Responder
from telemetry.exposition.reader import PrometheusReader

__all__ = ["ASGIApp", "MetricsApp", "metrics_app", "send_answer"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PIECE_BYTES = 1 << 16
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

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answers an HTTP request. A thread renders the body and yields to the event loop every few hundred series."""
        if scope["type"] != "http":
            return
        method = scope["method"]
        answer = _NOT_FOUND if scope["path"].endswith("\n") else self._responder.refuse_method(method)
        if answer is None:
            query = scope.get("query_string", b"").decode("latin-1")
            request = Request(method, query, _header(scope, b"accept"), _header(scope, b"accept-encoding"))
            answer = await asyncio.to_thread(self._responder.answer, request)
        await send_answer(send, answer, method)


def metrics_app(reader: PrometheusReader, *, compress: bool = True, registry: CollectorRegistry | None = None) -> MetricsApp:
    """Returns an ASGI application for ``/metrics``.

    It answers ``GET`` and ``HEAD``, and 405 to other methods. ``Accept`` decides the format, ``Accept-Encoding`` the
    compression, and ``name[]`` parameters restrict the body to these samples. A scrape that cannot be answered in time, or
    after shutdown, gets 503 with the reason.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        compress: Whether gzip may be used.
        registry: A registry of ``prometheus_client`` whose collectors are shown beside the reader's metrics.
    """
    return MetricsApp(Responder(reader, compress=compress, registry=registry))


def _header(scope: Scope, name: bytes) -> str | None:
    """All values of a header, joined by commas."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ",".join(values) if values else None


async def send_answer(send: Send, answer: Answer, method: str) -> None:
    """Sends the answer, to ``HEAD`` without its body."""
    raw = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers.items()]
    body = answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if method != "HEAD":
        # In pieces: the server never copies the whole body at once, and other tasks run in between.
        for start in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
            await send({"type": "http.response.body", "body": body[start : start + _PIECE_BYTES], "more_body": True})
            await asyncio.sleep(0)
        body = body[max(0, (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES) :]
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
