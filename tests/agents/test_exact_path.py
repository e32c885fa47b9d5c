"""Paths over real sockets: one spelling, and neither limits nor spans for scrapes and probes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.helpers.asgi_server import TIMEOUT, closed_port

SPELLINGS = (
    "{}%0a",
    "{}%0A",
    "{}%00",
    "{}%20",
    "{}%0d",
    "{}%2f",
    "{}/",
    "/{}",
    "/x/..{}",
    "/.{}",
    "/%2e{}",
    "{};x",
    "{};",
    "{}%3f",
    "{}#",
    "{}.",
    "/x{}",
    "http://test{}",
)


def status(url: str, target: str, method: str = "GET", *headers: str) -> int:
    """The status of a request whose target is sent as it is."""
    parts = urlsplit(url)
    head = "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *headers))
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT) as connection:
        connection.sendall(head.encode() + b"\r\n")
        return int(b"".join(iter(lambda: connection.recv(65536), b"")).split()[1])


def spelled(path: str) -> Iterator[str]:
    yield from (spelling.format(path) for spelling in SPELLINGS)
    yield from (path.upper(), path.title(), path[:-1] + f"%{ord(path[-1]):02x}", f"/%{ord(path[1]):02X}{path[2:]}")


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/agents", "/openapi.json"])
def test_another_spelling_is_another_path(start, path):
    """A path that is not exactly the service's own is a 404, without a count, a limit or a span of a route."""
    service = start()
    assert {target: status(service.url, target) for target in spelled(path)} == dict.fromkeys(spelled(path), 404)
    assert service.counted("rate_limit_hits_total") == {}
    assert [span.name for span in service.spans.ended if "/" in span.name] == []
    assert status(service.url, path) == 200


def test_another_spelling_is_another_path_on_the_metrics_port(start):
    """The port for /metrics alone serves the exact path alone."""
    port = closed_port()
    start(metrics_listen=f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"
    assert {target: status(url, target) for target in spelled("/metrics")} == dict.fromkeys(spelled("/metrics"), 404)
    assert status(url, "/metrics") == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_scrapes_and_probes_have_no_spans(start, method):
    """No method and no Host header makes a span of a scrape or a probe."""
    service = start()
    for host in ("a", "a/b", "", "[", "a:1", "a?x"):
        for path in ("/metrics", "/health/live", "/health/ready", "/metrics?a=/agents"):
            status(service.url, path, method, f"X-Forwarded-Host: {host}")
    assert service.spans.ended == []


@pytest.mark.parametrize(
    ("path", "span"),
    [
        ("/v1/agents/x/metrics", "GET"),
        ("/agents/metrics/runs", "GET /agents/{agent}/runs"),
        ("/agents?x=/metrics", "GET /agents"),
    ],
)
def test_other_paths_have_spans(start, path, span):
    """A path that only ends as one of a scrape or a probe has a span, as others have."""
    service = start()
    status(service.url, path)
    assert len(service.spans.wait(span)) == 1
