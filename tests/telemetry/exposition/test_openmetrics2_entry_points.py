"""Every way to a reader's metrics answers OpenMetrics 2.0 with a body of it, where a scraper asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from telemetry.exposition import PrometheusReader, make_wsgi_app, metrics_app, start_http_server
from telemetry.exposition.autoload import AutoReader, pull_reader
from tests.helpers.asgi_server import TIMEOUT
from tests.helpers.openmetrics2 import parse
from tests.helpers.providers import OPENMETRICS_2, RESOURCE

Answer = tuple[str, bytes]
"""Content type and body."""
PROMETHEUS = (
    "application/openmetrics-text;version=2.0.0;escaping=allow-utf-8;q=0.7,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
)
"""The header of a Prometheus whose ``scrape_protocols`` begin with OpenMetrics 2.0."""


def _expose(reader: PrometheusReader, accept: str) -> Answer:
    found = reader.expose(accept)
    assert reader.content_type(accept) == found.content_type
    return found.content_type, found.body


def _pieces(reader: PrometheusReader, accept: str) -> Answer:
    found = reader.pieces(accept)
    return found.content_type, b"".join(found.body)


def _asgi(reader: PrometheusReader, accept: str) -> Answer:
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "query_string": b"",
        "headers": [(b"accept", accept.encode())],
    }
    asyncio.run(metrics_app(reader)(scope, receive, send))
    headers = dict(sent[0]["headers"])
    return headers[b"content-type"].decode(), b"".join(message["body"] for message in sent[1:])


def _wsgi(reader: PrometheusReader, accept: str) -> Answer:
    headers: dict[str, str] = {}
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": accept}
    body = make_wsgi_app(reader)(environ, lambda _, found: headers.update(found))
    return headers["content-type"], b"".join(body)


def _served(reader: PrometheusReader, accept: str) -> Answer:
    with start_http_server(reader, 0) as server:
        return _ask(server.port, accept)


def _ask(port: int | None, accept: str) -> Answer:
    request = Request(f"http://localhost:{port}/metrics", headers={"accept": accept})
    with urlopen(request, timeout=TIMEOUT) as answer:
        return answer.headers["content-type"], answer.read()


def _auto(reader: PrometheusReader, accept: str) -> Answer:
    assert isinstance(reader, AutoReader)
    return _ask(reader.port, accept)


@contextmanager
def provided(reader: PrometheusReader) -> Iterator[PrometheusReader]:
    """Yields the reader with one histogram recorded, and shuts it down."""
    meters = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meters.get_meter("m").create_histogram("ours").record(1)
    yield reader
    meters.shutdown()


def plain_reader() -> PrometheusReader:
    """Returns a reader with a registry of its own, beside one with a histogram."""
    beside = CollectorRegistry()
    prometheus_client.Histogram("theirs", "Theirs", registry=beside).observe(1)
    return PrometheusReader(registry=CollectorRegistry(), beside=beside)


WAYS: dict[str, tuple[Callable[[], PrometheusReader], Callable[[PrometheusReader, str], Answer]]] = {
    "expose": (plain_reader, _expose),
    "pieces": (plain_reader, _pieces),
    "metrics_app": (plain_reader, _asgi),
    "make_wsgi_app": (plain_reader, _wsgi),
    "start_http_server": (plain_reader, _served),
    "OTEL_METRICS_EXPORTER=agentos": (lambda: AutoReader("localhost", 0, registry=CollectorRegistry()), _auto),
    "declarative configuration": (lambda: pull_reader(host="localhost", port=0), _auto),
}


@pytest.mark.parametrize(
    ("accept", "escaping"), [(OPENMETRICS_2, "underscores"), (PROMETHEUS, "allow-utf-8")], ids=["alone", "Prometheus"]
)
@pytest.mark.parametrize("way", WAYS)
def test_the_body_is_of_the_content_type(way: str, accept: str, escaping: str) -> None:
    """The content type names version 2.0.0, and the whole body is of its grammar: also what stands beside the reader."""
    make, ask = WAYS[way]
    with provided(make()) as reader:
        content_type, body = ask(reader, accept)
    found = parse(body.decode())
    assert content_type == f"application/openmetrics-text; version=2.0.0; charset=utf-8; escaping={escaping}"
    assert found["ours"].samples[0].value["count"] == 1
    assert found["ours"].samples[0].start
    assert make is not plain_reader or found["theirs"].samples[0].value["count"] == 1


def test_generate_latest_is_text() -> None:
    """``prometheus_client.generate_latest`` of a registry with the reader stays text 0.0.4."""
    registry = CollectorRegistry()
    with provided(PrometheusReader(registry=registry)):
        assert b'ours_bucket{le="+Inf",otel_scope_name="m"' in prometheus_client.generate_latest(registry)
