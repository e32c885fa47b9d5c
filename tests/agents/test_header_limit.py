"""Limits of a request's head over real sockets: 431 and 414 with a reason, without spans or metrics."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from agents.middleware.header_limit import TARGET_LIMIT, HeaderLimit
from stack.servers.service import Service
from tests.helpers.asgi_server import TIMEOUT, closed_port

LIMIT = 4096
ALWAYS = b"Host: test\r\nConnection: close\r\n"
HOST_BYTES = len(ALWAYS)


def answer(url: str, pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """Sends the pieces one by one; returns status and body of the answer, status 0 if the connection was reset."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
            found = b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:  # closed while we were still sending
            return 0, b""
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def head(size: int, *, target: bytes = b"/agents", fields: int = 1) -> bytes:
    """A request whose headers have ``size`` bytes together."""
    rest = size - HOST_BYTES
    filler = b"".join(
        b"X-%03d: " % number + b"a" * (rest // fields + (rest % fields if number == 0 else 0) - 9) + b"\r\n"
        for number in range(fields)
    )
    return b"GET " + target + b" HTTP/1.1\r\n" + ALWAYS + filler + b"\r\n"


@pytest.mark.parametrize("fields", [1, 50])
def test_headers_up_to_the_limit_pass(start, fields):
    """A request with exactly as many bytes of headers as allowed is served; one byte more is a 431."""
    service = start(header_limit=LIMIT)
    assert answer(service.url, [head(LIMIT, fields=fields)])[0] == 200
    status, body = answer(service.url, [head(LIMIT + 1, fields=fields)])
    assert status == 431
    assert json.loads(body) == {"error": "headers_too_large", "reason": "the headers of a request may have 4096 bytes"}


def test_target_up_to_its_limit_passes(start):
    """A path and query of 8,000 bytes is served, one byte more is a 414."""
    service = start()
    query = b"/agents?" + b"q" * (TARGET_LIMIT - len(b"/agents"))
    assert answer(service.url, [head(200, target=query)])[0] == 200
    status, body = answer(service.url, [head(200, target=query + b"q")])
    assert status == 414
    assert json.loads(body) == {"error": "target_too_long", "reason": "path and query may have 8000 bytes"}


def test_refused_heads_leave_no_trace(start):
    """A head that is too large is neither traced nor counted nor limited by rate."""
    service = start(header_limit=LIMIT)
    before = service.client.get("/metrics").text
    answer(service.url, [head(LIMIT + 1)])
    answer(service.url, [head(200, target=b"/" + b"p" * TARGET_LIMIT)])
    assert service.client.get("/metrics").text == before
    assert service.spans.ended == []


def test_body_of_a_refused_request_is_not_read(start):
    """The connection of a refused request is closed: its body is never taken for the next request."""
    service = start(header_limit=LIMIT)
    smuggled = b"GET /agents HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    request = b"POST /agents HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\nX: %s\r\n\r\n" % (len(smuggled), b"a" * LIMIT)
    status, body = answer(service.url, [request + smuggled])
    assert (status, body.count(b"HTTP/1.1")) == (431, 0)


def test_the_metrics_port_has_the_same_limit(start):
    """The port for /metrics alone refuses such heads too."""
    port = closed_port()
    start(metrics_listen=f"127.0.0.1:{port}", header_limit=LIMIT)
    assert answer(f"http://127.0.0.1:{port}", [head(LIMIT + 1, target=b"/metrics")])[0] == 431


async def test_other_kinds_of_scope_pass():
    """Lifespan and WebSocket scopes pass unchanged."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        await HeaderLimit(app, 1)({"type": kind}, None, None)
    assert seen == ["lifespan", "websocket"]


def test_heads_in_pieces_under_uvicorns_command_line(tmp_path: Path) -> None:
    """A head in pieces is served up to the limit, is a 431 above it, and far above it uvicorn's own 400 before its end."""
    with Service(tmp_path / "service", {"AGENTOS_HEADER_LIMIT": "40000"}) as service:
        statuses = {}
        for size in (200, 20_000, 40_000, 40_001, 70_000, 150_000):
            whole = head(size)
            pieces = [whole[at : at + 5000] for at in range(0, len(whole), 5000)]
            statuses[size] = answer(service.url, pieces)[0]
        assert statuses == {200: 200, 20_000: 200, 40_000: 200, 40_001: 431, 70_000: 431, 150_000: statuses[150_000]}
        assert statuses[150_000] in (400, 0)  # 0: reset while the test was still sending
        assert httpx.get(f"{service.url}/health/live").status_code == 200
