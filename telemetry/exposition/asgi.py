"""``metrics_app``: an ASGI application that serves one reader.

It answers every client: wrap it in ``AccessMiddleware`` to restrict access.
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

_PIECE_BYTES = 1 << 16
_logger = logging.getLogger(__name__)


def metrics_app(reader: PrometheusReader, *, compress: bool = True) -> ASGIApp:
    """Returns an ASGI application for ``/metrics``, to be mounted at any path.

    It answers ``GET`` and ``HEAD``, and 405 to other methods. ``Accept`` decides the format, ``Accept-Encoding`` the
    compression, and ``name[]`` parameters restrict the body to these samples. A scrape that cannot be answered in time, or
    after shutdown, gets 503 with the reason. A thread renders the body and yields to the event loop every few hundred series.

    Args:
        reader: The reader; its ``diagnostics`` count refused scrapes.
        compress: Whether gzip may be used.
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
    """All values of a header, joined by commas."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ",".join(values) if values else None


async def _answer(send: Send, status: int, headers: Headers, body: bytes, method: str) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", **headers, "content-length": str(len(body))}
    raw = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if method != "HEAD":
        # In pieces: the server never copies the whole body at once, and other tasks run in between.
        for start in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
            await send({"type": "http.response.body", "body": body[start : start + _PIECE_BYTES], "more_body": True})
            await asyncio.sleep(0)
        body = body[max(0, (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES) :]
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
