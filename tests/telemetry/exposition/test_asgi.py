"""The ASGI application for /metrics."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client import CollectorRegistry

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Pieces, PrometheusReader, metrics_app
from telemetry.exposition.asgi import ASGIApp
from telemetry.metric import telemetry_metrics
from tests.helpers.hanging_callback import HangingCallback
from tests.helpers.providers import OPENMETRICS, provider

BODY = b"# TYPE c_total counter\nc_total 1\n"


class Answer:
    """The answer that an application sent."""

    def __init__(self, messages: list[Mapping[str, Any]]) -> None:
        start, *rest = messages
        assert start["type"] == "http.response.start"
        assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
        self.status: int = start["status"]
        self.headers = {key.decode(): value.decode() for key, value in start["headers"]}
        self.body = b"".join(message["body"] for message in rest)
        self.pieces = len(rest)


async def ask(app: ASGIApp, method: str = "GET", query: Any = (), headers: list[tuple[str, str]] | None = None) -> Answer:
    """One request."""
    messages: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        messages.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": "/metrics",
        "query_string": urlencode(query).encode(),
        "headers": [(key.encode(), value.encode()) for key, value in headers or []],
    }
    await app(scope, receive, send)
    return Answer(messages)


@pytest.fixture
def reader() -> PrometheusReader:
    """A reader with one counter."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("c").add(1)
    return reader


async def test_get(reader: PrometheusReader) -> None:
    """GET gets the text format, with its length and type, and may not be cached."""
    answer = await ask(metrics_app(reader))
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers == {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
        "vary": "Accept, Accept-Encoding",
        "cache-control": "no-store",
        "content-length": str(len(BODY)),
    }


async def test_negotiation(reader: PrometheusReader) -> None:
    """The Accept header decides the format, also in several lines."""
    answer = await ask(metrics_app(reader), headers=[("accept", "text/plain;q=0.5"), ("accept", OPENMETRICS)])
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    assert answer.body.endswith(b"# EOF\n")


async def test_head(reader: PrometheusReader) -> None:
    """HEAD has GET's headers, without a body."""
    app = metrics_app(reader)
    head, get = await ask(app, "HEAD"), await ask(app)
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "x"])
async def test_other_methods(method: str) -> None:
    """Other methods get 405 with the allowed ones, and are counted."""
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    answer = await ask(metrics_app(reader), method)
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET, HEAD", b"only GET and HEAD\n")
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == {("method",): 1}


async def test_gzip(reader: PrometheusReader) -> None:
    """gzip is used when the client accepts it, but not with ``compress=False``."""
    headers = [("accept-encoding", "gzip, deflate")]
    answer = await ask(metrics_app(reader), headers=headers)
    assert (answer.headers["content-encoding"], gzip.decompress(answer.body)) == ("gzip", BODY)
    assert answer.headers["content-length"] == str(len(answer.body))
    plain = await ask(metrics_app(reader, compress=False), headers=headers)
    assert (plain.headers.get("content-encoding"), plain.body) == (None, BODY)


async def test_names(reader: PrometheusReader) -> None:
    """name[] parameters restrict the body."""
    app = metrics_app(reader)
    assert (await ask(app, query=[("name[]", "c_total"), ("name[]", "x")])).body == BODY
    assert (await ask(app, query=[("name[]", "x")])).body == b""
    assert (await ask(app, query=[("name", "x")])).body == BODY


async def test_after_shutdown() -> None:
    """After shutdown the answer is 503 with the reason, counted."""
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    reader.shutdown()
    answer = await ask(metrics_app(reader))
    assert (answer.status, answer.body) == (503, b"the metric reader has been shut down\n")
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == {("shutdown",): 1}


async def test_a_callback_that_hangs_on_the_public_path() -> None:
    """A callback that hangs on the public path gets 503 with the reason, counted, while the event loop runs."""
    diagnostics, hanging = Diagnostics(), HangingCallback()
    meters, reader = provider(diagnostics=diagnostics, direct=False, scrape_timeout=0.05)
    meters.get_meter("m").create_observable_gauge("g", [hanging])
    answers = await asyncio.gather(*(ask(metrics_app(reader)) for _ in range(3)))
    hanging.go.set()
    assert [answer.status for answer in answers] == [503] * 3
    assert b"a callback held up the collection for more than 0.05 s\n" in [answer.body for answer in answers]
    assert diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name) == {("timeout",): 3}


async def test_an_error_in_rendering(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in rendering gets 500, without the error's text."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(reader, "pieces", broken)
    answer = await ask(metrics_app(reader))
    assert (answer.status, answer.body) == (500, b"the scrape failed; see the log\n")


async def test_a_long_body_goes_out_in_pieces() -> None:
    """A long body is sent in pieces, complete and in order."""
    meters, reader = provider()
    for i in range(3000):
        meters.get_meter("m").create_counter(f"c{i}").add(i, {"label": "x" * 50})
    answer = await ask(metrics_app(reader))
    assert answer.body == reader.expose().body
    assert answer.pieces == -(-len(answer.body) // 65536) > 1


async def test_concurrent_requests_are_not_mixed(reader: PrometheusReader) -> None:
    """Concurrent requests in different formats each get their own whole body."""
    app = metrics_app(reader)
    kinds = [[], [("accept", OPENMETRICS)], [("accept-encoding", "gzip")]] * 20
    answers = await asyncio.gather(*(ask(app, headers=headers) for headers in kinds))
    openmetrics = b"# TYPE c counter\nc_total 1\n# EOF\n"
    for answer, headers in zip(answers, kinds, strict=True):
        body = gzip.decompress(answer.body) if headers and "encoding" in headers[0][0] else answer.body
        assert body == (openmetrics if headers and headers[0][0] == "accept" else BODY)


async def test_other_scopes(reader: PrometheusReader) -> None:
    """Scopes other than http are ignored."""

    async def never(*_: object) -> None:
        raise AssertionError

    await metrics_app(reader)({"type": "lifespan"}, never, never)


async def test_registry_is_shown_beside(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry is passed to the reader as ``beside``; without one the reader is asked as before."""
    asked: list[dict[str, Any]] = []

    def pieces(accept: str | None, names: Any, **rest: Any) -> Pieces:
        asked.append(rest)
        return Pieces("text/plain", (piece for piece in (b"",)))

    monkeypatch.setattr(reader, "pieces", pieces)
    registry = CollectorRegistry()
    await ask(metrics_app(reader, registry=registry))
    await ask(metrics_app(reader))
    assert asked == [{"beside": registry}, {}]
