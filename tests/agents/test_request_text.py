"""Bytes that are no text, in any header and in the target: no 5xx, no error in the log, nothing that breaks the export."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from agents.main import create_app
from agents.middleware.request_text import RequestText
from agents.settings import Settings
from telemetry import AgentOSTelemetry
from tests.helpers.span_log import SpanLog

NAMES = (
    "accept",
    "accept-encoding",
    "authorization",
    "baggage",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "origin",
    "referer",
    "traceparent",
    "tracestate",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-other",
    "x-workspace-id",
)
NO_TEXT = (
    *(bytes([byte]) for byte in range(0x80, 0x100)),
    b"\xff\\",
    b"\xff\\x",
    b"\xff\\ud800",
    b"\xff\\N{",
    b"\xff\\U00110000",
    "é".encode("latin-1"),
    "é\u2028".encode(),
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\xaf",
    b"\x01\x1b[31m\x7f",
    b"\x00",
    b"",
    b"[",
    b"[::1",
    b"a" * 9000,
    b"9" * 400,
)
ROUTES = (
    ("GET", "/"),
    ("GET", "/agents"),
    ("POST", "/agents/navi/runs"),
    ("GET", "/metrics"),
    ("POST", "/metrics"),
    ("GET", "/health/live"),
    ("HEAD", "/health/ready"),
    ("OPTIONS", "/agents"),
    ("DELETE", "/agents"),
    ("GET", "/nowhere"),
    ("GET", "/openapi.json"),
)


async def status_of(app: Any, method: str, path: str, *headers: tuple[bytes, bytes], query: bytes = b"") -> int:
    """Calls the application as a server would, and returns the answer's status."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if sent and not sent[-1].get("more_body", True):
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("192.0.2.1", 1234),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return int(sent[0]["status"])


@asynccontextmanager
async def service(**given: Any):
    """A service without its lifespan, and the spans that it ends."""
    spans = SpanLog()
    telemetry = AgentOSTelemetry(strict=True, span_processors=[spans])
    try:
        yield create_app(Settings(client_rate_limit="off", rate_limit="off", **given), telemetry), spans
    finally:
        telemetry.shutdown()


@pytest.fixture
def capture(monkeypatch):
    """All request headers become attributes of the server span."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")


@pytest.mark.parametrize("http_metrics", [False, True])
@pytest.mark.parametrize("semantics", ["", "http", "http/dup"])
async def test_no_header_is_a_server_error(capture, monkeypatch, caplog, http_metrics, semantics):
    """Each header with each kind of bytes is answered below 500 and logs no error; all spans can be exported."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", semantics)
    async with service(http_metrics=http_metrics) as (app, spans):
        wrong = [
            (name, value)
            for name in NAMES
            for value in NO_TEXT
            if await status_of(app, "GET", "/agents", (name.encode(), value)) >= 500
        ]
        assert wrong == []
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
        assert len(encode_spans(spans.ended).resource_spans) == 1


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", ["user-agent", "traceparent", "x-workspace-id", "accept", "host", "content-type"])
async def test_no_route_fails_by_a_header(capture, method, path, name):
    """On each route such headers change nothing, or are a 4xx; twice the same header as well."""
    async with service() as (app, _):
        for value in (b"\xff\\", b"\xff\\ud800", b"\x80"):
            for headers in ([(name.encode(), value)], [(name.encode(), value)] * 2):
                status = await status_of(app, method, path, *headers)
                assert status < 500 or (path, status) == ("/health/ready", 503)


@pytest.mark.parametrize(
    "query", [b"\xff", b"%ff%fe", b"name[]=\xff", b"a=%ed%a0%80", b"\x00", b"&&&=", b"X-Amz-Signature=\xff"]
)
@pytest.mark.parametrize("path", ["/agents", "/metrics", "/", "/\udcff", "/agents/\ud800/runs", "/a\n", "/\x00", "/é"])
async def test_no_target_is_a_server_error(path, query):
    """Bytes that are no text in path and query are answered below 500, and the spans can be exported."""
    async with service() as (app, spans):
        assert await status_of(app, "GET", path, query=query) < 500
        encode_spans(spans.ended)


async def test_what_was_replaced_is_logged_once(caplog):
    """The first header that is no text is named in the log, the others are not."""
    async with service() as (app, _):
        for name in (b"user-agent", b"referer"):
            await status_of(app, "GET", "/agents", (name, b"\xff"))
    assert [record.getMessage() for record in caplog.records if record.name == "agents.middleware.request_text"] == [
        "a request's header user-agent is no printable text: such bytes are replaced (logged once)"
    ]


async def test_an_entry_of_baggage_is_not_logged(caplog):
    """Baggage is not read: a caller cannot fill the log with malformed entries."""
    async with service() as (app, _):
        await status_of(app, "GET", "/agents", (b"baggage", b"a,b,c=\x1b,=,%"))
    assert [record.getMessage() for record in caplog.records if "aggage" in record.getMessage()] == []


async def seen_by_application(**scope: Any) -> Any:
    found = {}

    async def app(scope, receive, send):
        found.update(scope)

    await RequestText(app)({"type": "http", "path": "/", "query_string": b"", "headers": [], **scope}, None, None)
    return found


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"plain\ttext", b"plain\ttext"),
        ("ä€".encode(), "ä€".encode()),
        (b"key\xff", "key\ufffd".encode()),
        (b"a\x1bb\x00", "a\ufffdb\ufffd".encode()),
        ("a\u2028b\x85".encode(), "a\ufffdb\ufffd".encode()),
    ],
)
async def test_bytes_are_replaced_and_not_removed(sent, seen):
    """A byte that is no text becomes U+FFFD, so that no value becomes another valid one; printable text stays."""
    found = await seen_by_application(headers=[(b"authorization", sent)])
    assert found["headers"] == [(b"authorization", seen)]


async def test_a_target_is_percent_encoded():
    """Bytes of query and raw path outside printable ASCII are percent-encoded, others unchanged."""
    found = await seen_by_application(query_string=b"a=%41&b=\xff ", raw_path=b"/%2e\xc3", path="/\ud800")
    assert (found["query_string"], found["raw_path"], found["path"]) == (b"a=%41&b=%FF%20", b"/%2e%C3", "/?")


@settings(max_examples=200, deadline=None)
@given(value=st.binary(max_size=40), query=st.binary(max_size=20), path=st.text(max_size=20))
def test_all_bytes_become_text(value, query, path):
    """Whatever was sent: headers are printable UTF-8, and the target has ASCII bytes and a path that UTF-8 can encode."""
    found = asyncio.run(seen_by_application(headers=[(b"x", value)], query_string=query, path=path))
    text = found["headers"][0][1].decode()
    assert all(one.isprintable() or one == "\t" for one in text)
    assert found["query_string"].isascii()
    found["path"].encode()


SECRETS = ("authorization", "x-auth", "cookie", "x-api-key", "apikey", "x-token", "x-jwt", "x-pwd", "x-passwd", "x-session-id")
SECRETS = (*SECRETS, "x-amz-signature", "private-key", "x-credential", "baggage", "referer", "tracestate", "x-csrf", "x-secret")


@pytest.mark.parametrize("semantics", ["", "http"])
async def test_no_secret_of_a_request_is_on_its_span(capture, monkeypatch, semantics):
    """Neither the query nor a header that may hold a credential is an attribute of the server span."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", semantics)
    async with service() as (app, spans):
        for name in SECRETS:
            await status_of(app, "GET", "/agents", (name.encode(), b"hush"), query=b"token=hush")
        assert len(spans.ended) == len(SECRETS)
        assert [span.to_json() for span in spans.ended if "hush" in span.to_json()] == []
