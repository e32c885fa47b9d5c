"""Answers whose body is made while it is sent: their bound, their end, and what happens when a client is slow or leaves."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import sha256
from threading import Event, Semaphore
from typing import Any
from wsgiref.validate import validator

import pytest

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.compatibility import new_view
from telemetry._sdk.live import LiveStream, UnexpectedSDKError
from telemetry.exposition import PrometheusReader, make_wsgi_app, metrics_app, start_http_server
from telemetry.exposition.answer import Answer, BrokenAnswerError, Request, Responder, Scrape
from telemetry.exposition.encoding import SERIES_PER_PIECE
from telemetry.metric import telemetry_metrics
from tests.helpers.asgi_server import TIMEOUT, serving
from tests.helpers.clock import Clock
from tests.helpers.providers import OPENMETRICS, provider

SERIES = 640

Reasons = Mapping[tuple[str, ...], int]


@pytest.fixture
def diagnostics() -> Diagnostics:
    """Counts the refused scrapes of ``reader``."""
    return Diagnostics()


@pytest.fixture
def reader(diagnostics: Diagnostics) -> PrometheusReader:
    """A reader with a body of about 640 KB."""
    return filled(diagnostics, 1000)


def filled(diagnostics: Diagnostics, width: int) -> PrometheusReader:
    """A reader with one counter, whose series have labels of this width."""
    meters, reader = provider(
        diagnostics=diagnostics, views=[new_view(instrument_name="*", aggregation_cardinality_limit=10**6)]
    )
    counter = meters.get_meter("m").create_counter("c")
    for i in range(SERIES):
        counter.add(1, {"i": str(i), "text": "x" * width})
    return reader


def reasons(diagnostics: Diagnostics) -> Reasons:
    """The counts of refused scrapes by reason."""
    return diagnostics.values(telemetry_metrics.REFUSED_SCRAPES.name)


def fail_behind(monkeypatch: pytest.MonkeyPatch, series: int, error: Exception) -> None:
    """Lets the reading of series behind this one fail."""
    original = LiveStream.slice

    def slice_(stream: LiveStream, start: int, stop: int, **options: bool) -> Any:
        if start >= series:
            raise error
        return original(stream, start, stop, **options)

    monkeypatch.setattr(LiveStream, "slice", slice_)


class Client:
    """One client of an ASGI application; ``taking`` is called before each message is taken."""

    def __init__(self, *headers: tuple[str, str], method: str = "GET") -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.gone = asyncio.Event()
        self.taking: Callable[[Mapping[str, Any]], Any] | None = None
        self.scope = {
            "type": "http",
            "method": method,
            "path": "/metrics",
            "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, value in headers],
        }
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        if self.taking is not None:
            await self.taking(message)
        self.messages.append(message)

    async def ask(self, app: Any) -> None:
        await app(self.scope, self.receive, self.send)

    @property
    def headers(self) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


class Paused(Client):
    """A client that takes the body when ``go`` is set; ``is_asked`` is set when it is given the first chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.go = asyncio.Event(), asyncio.Event()
        self.taking = self._take

    async def _take(self, _: Mapping[str, Any]) -> None:
        if len(self.messages) == 1:
            self.is_asked.set()
            await self.go.wait()


async def test_a_long_body_has_no_length(reader: PrometheusReader) -> None:
    """A body above 64 KiB is sent in chunks of at least that size, without its length."""
    client = Client()
    await client.ask(metrics_app(reader))
    assert client.body == reader.expose().body
    assert client.headers == {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
        "vary": "Accept, Accept-Encoding",
        "cache-control": "no-store",
    }
    sizes = [len(message["body"]) for message in client.messages[1:]]
    assert len(sizes) > 3
    assert min(sizes[:-1]) >= 65536
    assert [message["more_body"] for message in client.messages[1:]] == [True] * (len(sizes) - 1) + [False]


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
async def test_gzip_of_a_long_body(accept: str | None) -> None:
    """Compressed chunks are one gzip member; the same body becomes the same bytes."""
    meters, reader = provider(views=[new_view(instrument_name="*", aggregation_cardinality_limit=10**6)])
    for i in range(4000):
        meters.get_meter("m").create_counter("c").add(1, {"i": sha256(b"%d" % i).hexdigest()})
    clients = [Client(("accept", accept or "*/*"), ("accept-encoding", "gzip")) for _ in "ab"]
    app = metrics_app(reader)
    for client in clients:
        await client.ask(app)
    assert clients[0].headers["content-encoding"] == "gzip"
    assert "content-length" not in clients[0].headers
    assert len(clients[0].messages) > 2
    assert gzip.decompress(clients[0].body) == reader.expose(accept).body
    assert clients[0].body == clients[1].body


async def test_head_of_a_long_body(reader: PrometheusReader) -> None:
    """HEAD has GET's headers, no body, and keeps no place."""
    app = metrics_app(reader, max_concurrent_scrapes=1)
    head, get = Client(method="HEAD"), Client()
    await head.ask(app)
    await get.ask(app)
    assert (head.messages[0], head.body) == (get.messages[0], b"")
    assert get.body == reader.expose().body


async def test_chunks_are_made_in_threads(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk is made or compressed in the thread of the event loop."""
    threads: set[int] = set()
    original, compress = LiveStream.slice, zlib.compressobj(1, zlib.DEFLATED, 31)

    def slice_(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.get_ident())
        return original(*arguments, **options)

    class Compressor:
        def compress(self, data: bytes) -> bytes:
            threads.add(threading.get_ident())
            return compress.compress(data)

        def flush(self) -> bytes:
            threads.add(threading.get_ident())
            return compress.flush()

    monkeypatch.setattr(LiveStream, "slice", slice_)
    monkeypatch.setattr("telemetry.exposition.answer.compressor", lambda _: Compressor())
    await Client(("accept-encoding", "gzip")).ask(metrics_app(reader))
    assert threads
    assert threading.get_ident() not in threads


async def test_one_too_many(reader: PrometheusReader, diagnostics: Diagnostics) -> None:
    """A scrape beyond the bound gets 503 with the reason, counted; a place is free when a scrape has ended."""
    app = metrics_app(reader, max_concurrent_scrapes=2)
    slow = [Paused(), Paused()]
    running = [asyncio.create_task(client.ask(app)) for client in slow]
    for client in slow:
        await asyncio.wait_for(client.is_asked.wait(), TIMEOUT)
    refused = Client()
    await refused.ask(app)
    assert (refused.messages[0]["status"], refused.headers["retry-after"]) == (503, "5")
    assert refused.body == b"2 scrapes are being answered, and no more are at once\n"
    assert reasons(diagnostics) == {("busy",): 1}
    for client in slow:
        client.go.set()
    await asyncio.gather(*running)
    served = Client()
    await served.ask(app)
    assert served.body == slow[0].body == reader.expose().body


async def test_a_slow_client_holds_two_chunks(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a client does not take the first chunk, one more is made, not the body."""
    made: list[int] = []
    original = LiveStream.slice

    def slice_(stream: LiveStream, start: int, stop: int, **options: bool) -> Any:
        made.append(stop)
        return original(stream, start, stop, **options)

    monkeypatch.setattr(LiveStream, "slice", slice_)
    client = Paused()
    running = asyncio.create_task(client.ask(metrics_app(reader)))
    await asyncio.wait_for(client.is_asked.wait(), TIMEOUT)
    assert made == [SERIES_PER_PIECE, 2 * SERIES_PER_PIECE]
    client.go.set()
    await running
    assert made[-1] == SERIES


async def test_a_client_that_leaves(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the client disconnects no further chunk is made, and its place is free."""
    closed: list[Scrape] = []
    end = Scrape._end
    monkeypatch.setattr(Scrape, "_end", lambda scrape: (closed.append(scrape), end(scrape)))
    app = metrics_app(reader, max_concurrent_scrapes=1)
    client = Paused()
    running = asyncio.create_task(client.ask(app))
    await asyncio.wait_for(client.is_asked.wait(), TIMEOUT)
    client.gone.set()
    await asyncio.sleep(0)
    client.go.set()
    await running
    assert len(client.messages) == 2
    assert closed
    after = Client()
    await after.ask(app)
    assert after.body == reader.expose().body


async def test_a_client_that_takes_nothing(
    reader: PrometheusReader, diagnostics: Diagnostics, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that does not take the answer in time is aborted and counted, and its place is free."""
    app = metrics_app(reader, max_concurrent_scrapes=1, answer_timeout=0.05)
    with pytest.raises(BrokenAnswerError, match="the client did not take the answer in time"):
        await Paused().ask(app)
    assert reasons(diagnostics) == {("timeout",): 1}
    assert caplog.messages == ["a scrape ended early: its client did not take it within 0.05 s"]
    after = Client()
    await after.ask(metrics_app(reader))
    assert after.messages[0]["status"] == 200


async def test_cancelled_while_a_chunk_is_made(reader: PrometheusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is cancelled while a thread makes its chunk gives its place back when the thread has ended."""
    inside, go = Event(), Event()
    original = LiveStream.slice

    def slice_(*arguments: Any, **options: Any) -> Any:
        inside.set()
        assert go.wait(TIMEOUT)
        return original(*arguments, **options)

    monkeypatch.setattr(LiveStream, "slice", slice_)
    responder = Responder(reader, max_concurrent_scrapes=1)
    scrape = responder.admit("GET")
    assert isinstance(scrape, Scrape)
    making = asyncio.create_task(asyncio.to_thread(scrape.answer, Request("GET")))
    await asyncio.to_thread(inside.wait, TIMEOUT)
    scrape.close()
    assert isinstance(responder.admit("GET"), Answer)
    go.set()
    await making
    assert isinstance(responder.admit("GET"), Scrape)


async def test_broken_behind_the_first_chunk(
    reader: PrometheusReader, diagnostics: Diagnostics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that cannot be ended is not ended: the application raises, the scrape is counted, and the next one is whole."""
    whole = reader.expose().body
    fail_behind(monkeypatch, 3 * SERIES_PER_PIECE, UnexpectedSDKError("gone"))
    app = metrics_app(reader, max_concurrent_scrapes=1)
    client = Client()
    with pytest.raises(BrokenAnswerError, match="the SDK's state cannot be read directly: gone"):
        await client.ask(app)
    assert client.messages[-1]["more_body"] is True
    assert whole.startswith(client.body)
    assert reasons(diagnostics) == {("failed",): 1}
    after = Client()
    await after.ask(app)
    assert after.body == whole


async def test_broken_before_anything_is_sent(
    reader: PrometheusReader, diagnostics: Diagnostics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the state is unexpected before the first chunk is sent, the scrape begins anew and is whole."""
    whole = reader.expose().body
    fail_behind(monkeypatch, SERIES_PER_PIECE, UnexpectedSDKError("gone"))
    client = Client()
    await client.ask(metrics_app(reader))
    assert (client.body, reasons(diagnostics)) == (whole, {})


async def test_an_error_behind_the_first_chunk(
    reader: PrometheusReader, diagnostics: Diagnostics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in rendering is logged with its traceback, and the answer is broken."""
    fail_behind(monkeypatch, 3 * SERIES_PER_PIECE, ZeroDivisionError("inside"))
    with pytest.raises(BrokenAnswerError):
        await Client().ask(metrics_app(reader))
    assert reasons(diagnostics) == {("failed",): 1}
    assert [(record.message, bool(record.exc_info)) for record in caplog.records] == [("a scrape failed", True)]


def connect(stack: ExitStack, port: str | int) -> socket.socket:
    """A connection with a small window, on which a scrape is asked for and nothing is read."""
    made = stack.enter_context(socket.socket())
    made.settimeout(TIMEOUT)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", int(port)))
    made.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    return made


def test_slow_readers_of_uvicorn(diagnostics: Diagnostics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten clients that read nothing hold the first part of ten bodies, an eleventh is refused, and all end in time."""
    reader = filled(diagnostics, 20_000)  # 13 MB
    made: list[int] = []
    original, give_up, given_up = LiveStream.slice, Scrape.give_up, Semaphore(0)

    def slice_(stream: LiveStream, start: int, stop: int, **options: bool) -> Any:
        made.append(stop - start)
        return original(stream, start, stop, **options)

    monkeypatch.setattr(LiveStream, "slice", slice_)
    monkeypatch.setattr(Scrape, "give_up", lambda scrape: (give_up(scrape), given_up.release()))
    monkeypatch.setattr("telemetry.exposition.encoding.SERIES_PER_PIECE", 4)
    app = metrics_app(reader, max_concurrent_scrapes=10, answer_timeout=1.0)
    with serving(app, lifespan="off") as url, ExitStack() as stack:
        port = url.rpartition(":")[2]
        slow = [connect(stack, port) for _ in range(10)]
        for each in slow:
            assert each.recv(15) == b"HTTP/1.1 200 OK"
        assert connect(stack, port).recv(12) == b"HTTP/1.1 503"
        for _ in slow:
            assert given_up.acquire(timeout=TIMEOUT)
        assert sum(made) < 10 * SERIES / 2
        assert connect(stack, port).recv(12) == b"HTTP/1.1 200"
    assert reasons(diagnostics) == {("timeout",): 10, ("busy",): 1}


def test_the_server_sends_chunks(reader: PrometheusReader) -> None:
    """``start_http_server`` sends a long body in chunks, and the connection goes on."""
    body = reader.expose().body
    with start_http_server(reader, 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        for _ in range(2):
            connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            assert answer.getheader("content-encoding") == "gzip"
            assert gzip.decompress(answer.read()) == body
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            assert (answer.getheader("transfer-encoding"), answer.getheader("content-length")) == ("chunked", None)
            assert answer.read() == body
        connection.request("HEAD", "/metrics")
        answer = connection.getresponse()
        assert (answer.getheader("transfer-encoding"), answer.read()) == ("chunked", b"")
        connection.close()


def test_the_server_ends_an_old_clients_body_by_closing(reader: PrometheusReader) -> None:
    """A client of HTTP/1.0 gets a long body without chunks, and its end is that of the connection."""
    with start_http_server(reader, 0) as server, socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == reader.expose().body


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_the_server_resets_a_broken_body(
    reader: PrometheusReader, diagnostics: Diagnostics, monkeypatch: pytest.MonkeyPatch, version: bytes
) -> None:
    """A body that cannot be ended resets the connection: also a client of HTTP/1.0 does not take it for whole."""
    fail_behind(monkeypatch, 3 * SERIES_PER_PIECE, UnexpectedSDKError("gone"))
    with start_http_server(reader, 0) as server, socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
        client.sendall(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % version)
        with pytest.raises(ConnectionResetError):
            client.makefile("rb").read()
    assert reasons(diagnostics) == {("failed",): 1}


def test_the_server_bounds_scrapes(diagnostics: Diagnostics) -> None:
    """A scrape beyond the bound gets 503; a client that does not read is reset in time, and its place is free."""
    reader = filled(diagnostics, 20_000)
    with start_http_server(reader, 0, timeout=1.0, max_concurrent_scrapes=1) as server, ExitStack() as stack:
        slow = connect(stack, server.port)
        assert slow.recv(12) == b"HTTP/1.1 200"
        assert connect(stack, server.port).recv(12) == b"HTTP/1.1 503"
        with pytest.raises(ConnectionResetError):
            while slow.recv(1):
                pass
        assert connect(stack, server.port).recv(12) == b"HTTP/1.1 200"
    assert reasons(diagnostics) == {("timeout",): 1, ("busy",): 1}


def environ(method: str = "GET") -> dict[str, Any]:
    """A request of WSGI."""
    return {"REQUEST_METHOD": method, "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}


def test_wsgi_streams(reader: PrometheusReader) -> None:
    """The WSGI application returns the chunks of a long body."""
    answers: list[tuple[str, dict[str, str]]] = []
    app = make_wsgi_app(reader, max_concurrent_scrapes=1)
    for _ in range(2):
        chunks = app(environ(), lambda status, headers: answers.append((status, dict(headers))))
        assert b"".join(chunks) == reader.expose().body
    assert answers[0][0] == "200 OK"
    assert "content-length" not in answers[0][1]
    assert [bytes(each) for each in app(environ("HEAD"), lambda *_: None)] == []
    assert b"".join(app(environ(), lambda *_: None)) == reader.expose().body


def test_wsgi_is_valid(reader: PrometheusReader) -> None:
    """The application keeps to PEP 3333 with a long body."""
    app: Any = validator(make_wsgi_app(reader))
    full = {
        **environ(),
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "SERVER_NAME": "x",
        "SERVER_PORT": "1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input": _Input(),
        "wsgi.errors": _Errors(),
    }
    chunks = app(full, lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(chunks) == reader.expose().body
    chunks.close()


class _Input:
    def read(self, _: int = 0) -> bytes:
        return b""

    def readline(self, _: int = 0) -> bytes:
        return b""

    def readlines(self, _: int = 0) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class _Errors:
    def flush(self) -> None:
        pass

    def write(self, _: str) -> None:
        pass

    def writelines(self, _: object) -> None:
        pass


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_wsgi_server_that_closes(reader: PrometheusReader, chunks: int) -> None:
    """A server that closes the body, read or not, gives the place back."""
    app = make_wsgi_app(reader, max_concurrent_scrapes=1)
    body: Any = app(environ(), lambda *_: None)
    for _ in range(chunks):
        next(body)
    body.close()
    body.close()
    assert b"".join(app(environ(), lambda *_: None)) == reader.expose().body


def test_a_place_that_is_kept_too_long(reader: PrometheusReader, diagnostics: Diagnostics) -> None:
    """The place of a scrape whose client has not taken the answer in time is free, and the scrape gives no further chunk."""
    clock = Clock()
    responder = Responder(reader, max_concurrent_scrapes=1, answer_timeout=10.0, clock=clock)
    kept = responder.answer(Request("GET"))
    assert kept.rest is not None
    clock.now += 9.0
    assert responder.answer(Request("GET")).status == 503
    clock.now += 1.0
    after = responder.answer(Request("GET"))
    assert after.status == 200
    with pytest.raises(BrokenAnswerError, match="in time"):
        kept.rest.read()
    assert responder.answer(Request("GET")).status == 503
    assert reasons(diagnostics) == {("busy",): 2, ("timeout",): 1}


@pytest.mark.parametrize("option", [{"max_concurrent_scrapes": 0}, {"answer_timeout": 0.0}])
@pytest.mark.parametrize("make", [metrics_app, make_wsgi_app, Responder])
def test_a_limit_that_cannot_be_used(reader: PrometheusReader, make: Callable[..., object], option: dict[str, Any]) -> None:
    """A limit that is not above 0 is refused with its name and value."""
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name} must be .*, it is {option[name]}$"):
        make(reader, **option)
