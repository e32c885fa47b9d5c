"""``metrics_app``: an ASGI application that serves one reader.

It asks nobody who they are: wrap it, as any ASGI application, in what should guard it.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from telemetry._base.threads import yield_gil
from telemetry.exposition.negotiation import accepts_gzip
from telemetry.exposition.reader import PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.metric import telemetry_metrics

__all__ = ["ASGIApp", "metrics_app"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Mapping[str, str]

_PIECE = 1 << 16
_logger = logging.getLogger(__name__)


def metrics_app(reader: PrometheusReader, *, compress: bool = True) -> ASGIApp:
    """An ASGI application for ``/metrics``; the path is the mount's business.

    ``GET`` and ``HEAD``; 405 for other methods. Rendering happens in a thread that steps aside for the event loop
    every few hundred series. ``Accept`` decides the format, ``Accept-Encoding`` whether gzip is used (never with
    ``compress=False``), ``name[]`` parameters restrict the body to these samples. A scrape that cannot be answered in
    time, or after shutdown, gets 503 with the reason.
    """

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            reader.diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, "method")
            await _answer(send, 405, {"allow": "GET, HEAD"}, b"only GET and HEAD\n", scope["method"])
            return
        try:
            headers, body = await asyncio.to_thread(_render, reader, scope, compress)
        except ScrapeRefusedError as error:
            reader.diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, error.reason)
            await _answer(send, 503, {"retry-after": "5"}, f"{error}\n".encode(), scope["method"])
            return
        except Exception:
            reader.diagnostics.count(telemetry_metrics.REFUSED_SCRAPES.name, "failed")
            _logger.exception("a scrape failed")
            await _answer(send, 500, {}, b"the scrape failed; see the log\n", scope["method"])
            return
        await _answer(send, 200, headers, body, scope["method"])

    return app


def _render(reader: PrometheusReader, scope: Scope, compress: bool) -> tuple[Headers, bytes]:
    names = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("name[]", ())
    exposition = reader.expose(_header(scope, b"accept"), names, yield_gil=yield_gil)
    headers = {"content-type": exposition.content_type, "vary": "Accept, Accept-Encoding", "cache-control": "no-store"}
    if compress and accepts_gzip(_header(scope, b"accept-encoding")):
        return {**headers, "content-encoding": "gzip"}, gzip.compress(exposition.body, compresslevel=1, mtime=0)
    return headers, exposition.body


def _header(scope: Scope, name: bytes) -> str | None:
    """All values of a header, as one list."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ",".join(values) if values else None


async def _answer(send: Send, status: int, headers: Headers, body: bytes, method: str) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", **headers, "content-length": str(len(body))}
    raw = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if method != "HEAD":
        # In pieces: the server never has the whole body to copy at once, and other tasks run in between.
        for start in range(0, len(body) - _PIECE, _PIECE):
            await send({"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": True})
            await asyncio.sleep(0)
        body = body[max(0, (len(body) - 1) // _PIECE * _PIECE) :]
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
