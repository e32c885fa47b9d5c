"""Limits on what a model server may send: bytes, time, redirects, cookies."""

from __future__ import annotations

import asyncio
import gzip
import json
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agents.services.ccr_router import RouterError
from tests.helpers.asgi_server import closed_port
from tests.helpers.model_server import ASKED, DONE, ModelServer, bench, says, whole

BACKUP = [says("good"), DONE]
EVENT = b"data: " + json.dumps(says("x" * 1000)).encode() + b"\n\n"


def packed(body: bytes, media_type: str, *, name: str = "gzip", times: int = 1) -> Response:
    for _ in range(times):
        body = gzip.compress(body, 1)
    return Response(body, media_type=media_type, headers={"Content-Encoding": name})


def document(size: int) -> bytes:
    """A whole answer with a text of this size."""
    return json.dumps({"choices": [{"index": 0, "message": {"content": "A" * size}}]}).encode()


TOO_MUCH: dict[str, Response] = {
    "whole": Response(document(70_000), media_type="application/json"),
    "whole, packed": packed(document(5_000_000), "application/json"),
    "streamed": Response(EVENT * 70 + DONE, media_type="text/event-stream"),
    "streamed, packed": packed(EVENT * 5000 + DONE, "text/event-stream", name="x-gzip"),
    "comments": Response(b": ping\n\n" * 10_000, media_type="text/event-stream"),
    "spaces": Response(b" " * 70_000, media_type="application/json"),
    "packed twice": packed(document(10), "application/json", times=2),
    "packing that was not asked for": Response(b"x", headers={"Content-Encoding": "br"}),
    "packing that is broken": Response(b"x" * 100, headers={"Content-Encoding": "gzip"}),
    "packing that is cut off": Response(gzip.compress(document(10))[:-9], headers={"Content-Encoding": "gzip"}),
    "too many values": Response(b'{"choices": [' + b"{}," * 20_000 + b"{}]}", media_type="application/json"),
}


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("reply", [one for name, one in TOO_MUCH.items() if "streamed" not in name])
async def test_answer_that_is_too_large_is_a_failure(reply, streams):
    """An answer over the provider's limit, counted after content decoding, fails as protocol, and the next provider answers."""
    each = {"main": {"stream": streams, "response_limit": 64 * 1024}}
    async with bench(main=ModelServer(reply), backup=ModelServer(BACKUP), each=each) as one:
        assert await one.text() == "good"
        assert one.recorded("ccr_errors", "ccr_requests") == {
            "ccr_errors_total/main/protocol": 1,
            "ccr_requests_total/main/error/question": 1,
            "ccr_requests_total/backup/success/question": 1,
        }


@pytest.mark.parametrize("reply", [one for name, one in TOO_MUCH.items() if "streamed" in name])
async def test_stream_that_is_too_large_ends_at_its_limit(reply):
    """A stream is ended when it passes the limit, however small it was before its decoding."""
    got = 0
    async with bench(main=ModelServer(reply), each={"main": {"response_limit": 64 * 1024}}) as one:
        with pytest.raises(RouterError, match="in the middle"):
            async for piece in one.router.stream(ASKED):
                got += len(piece)
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/protocol": 1}
    assert 0 < got < 64 * 1024


async def test_answer_of_the_limit_is_taken():
    """An answer of exactly the limit is taken, and one byte more is not."""
    body = document(1000)
    servers = {"main": ModelServer(Response(body, media_type="application/json")), "backup": ModelServer(BACKUP)}
    for limit, text in ((len(body), "A" * 1000), (len(body) - 1, "good")):
        async with bench(**servers, each={"main": {"response_limit": limit}}) as one:
            assert await one.text() == text


async def test_default_limit_is_8_mib():
    """Without a setting an answer may have 8 MiB."""
    servers = {"main": ModelServer(packed(document(8 * 2**20), "application/json")), "backup": ModelServer(BACKUP)}
    async with bench(**servers) as one:
        assert await one.text() == "good"


class Endless(ModelServer):
    """Sends one piece again and again until the connection is closed, after an optional beginning."""

    def __init__(self, piece: bytes, pause: float, *, begin: bytes = b"", status: int = 200, **headers: str) -> None:
        super().__init__()
        self.piece, self.pause, self.begin, self.status = piece, pause, begin, status
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        return StreamingResponse(self.endless(), self.status, self.headers, "text/event-stream")

    async def endless(self) -> AsyncIterator[bytes]:
        yield self.begin
        while True:
            yield self.piece
            await asyncio.sleep(self.pause)  # the pace of the server


DRIPS: dict[str, Callable[[], Endless]] = {
    "bytes": lambda: Endless(b"x", 0.01),
    "comments": lambda: Endless(b": ping\n\n", 0.01),
    "chunks without text": lambda: Endless(b'data: {"choices": [{"delta": {}}]}\n\n', 0.01),
    "a document": lambda: Endless(b" ", 0.01, begin=b'{"choices":'),
    "spaces": lambda: Endless(b"\n", 0.01),
}


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("make", DRIPS.values(), ids=DRIPS.keys())
async def test_answer_that_drips_has_its_time(make, streams):
    """A server that keeps sending without an answer has the attempt's time in all, not for each piece."""
    servers = {"main": make(), "backup": ModelServer(BACKUP)}
    async with bench(**servers, each={"main": {"stream": streams, "timeout": 0.4}}, clock=time.monotonic) as one:
        assert await one.text() == "good"
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/timeout": 1}


async def test_request_has_its_time_whatever_comes():
    """The time of the whole request ends an answer that keeps coming."""
    async with bench(main=Endless(b": ping\n\n", 0.01), call_timeout=0.4, clock=time.monotonic) as one:
        with pytest.raises(RouterError, match="in time"):
            await one.text()
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/timeout": 1}


@contextmanager
def dripping_headers(first: bytes) -> Iterator[str]:
    """A server that sends headers without an end."""
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                self.request.sendall(first)
                while not stopped.wait(0.01):
                    self.request.sendall(b"X-More: x\r\n")
            except OSError:
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["no status", "headers"])
async def test_headers_that_drip_have_their_time(first):
    """A server whose headers never end is a failed attempt within its time."""
    with dripping_headers(first) as url:
        each = {"main": {"base_url": url, "timeout": 0.4}}
        async with bench(main=ModelServer(BACKUP), backup=ModelServer(BACKUP), each=each) as one:
            assert await one.text() == "good"
            (counted,) = one.recorded("ccr_errors").items()
    assert counted in (("ccr_errors_total/main/timeout", 1.0), ("ccr_errors_total/main/unreachable", 1.0))


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["fast", "dripping"])
async def test_error_without_end_keeps_its_status(pause):
    """An error whose body never ends is counted by its status, and its Retry-After is followed."""
    main = Endless(b"x" * 10_000 if not pause else b"x", pause, begin=b'{"error": "', status=429, Retry_After="3")
    async with bench(main=main, backup=ModelServer(BACKUP), retries=1) as one:
        assert await one.text() == "good"
        assert one.waits == [3.0]
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/rate_limit": 2}


async def test_error_that_is_packed_without_measure_keeps_its_status():
    """An error that would decode to far more than the limit is counted by its status."""
    body = gzip.compress(b"x" * 50_000_000, 1)
    async with bench(main=ModelServer(Response(body, 503, {"Content-Encoding": "gzip"})), backup=ModelServer(BACKUP)) as one:
        assert await one.text() == "good"
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/server": 1}


@pytest.mark.parametrize("charset", ["zlib", "utf-16", "undefined", "idna", "no-such", "\xff"])
async def test_error_in_an_odd_charset_keeps_its_status(charset):
    """An error whose charset does not fit its body is counted by its status, with type and code."""
    body = json.dumps({"error": {"type": "no", "message": "\xe9"}})
    reply = Response(body, 429, {"Content-Type": f"application/json; charset={charset}"})
    async with bench(main=ModelServer(reply), backup=ModelServer(BACKUP)) as one:
        assert await one.text() == "good"
        assert one.recorded("ccr_errors") == {"ccr_errors_total/main/rate_limit": 1}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_redirect_is_a_failure(status):
    """A redirect is not followed: prompt and key go to the address of the settings alone."""
    other = ModelServer([says("from elsewhere"), DONE])
    with other.running() as url:
        hop = Response(status_code=status, headers={"Location": f"{url}/chat/completions"})
        async with bench(main=ModelServer(hop), backup=ModelServer(BACKUP)) as one:
            assert await one.text() == "good"
            assert one.recorded("ccr_errors") == {"ccr_errors_total/main/protocol": 1}
    assert other.asked == []


class Ports(ModelServer):
    """A model server that notes from where its requests come."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.ports: set[int] = set()

    async def answer(self, request: Request) -> Response:
        assert request.client is not None
        self.ports.add(request.client.port)
        return await super().answer(request)


@pytest.mark.parametrize("reply", [[says("fine"), DONE], whole("fine"), Response("no", 400)], ids=["stream", "whole", "error"])
async def test_connection_is_used_again(reply):
    """After an answer that was read to its end the next call uses the same connection."""
    server = Ports(reply)
    async with bench(main=server) as one:
        for _ in range(3):
            with suppress(RouterError):
                await one.text()
    assert (len(server.asked), len(server.ports)) == (3, 1)


async def test_stream_that_goes_on_after_its_end_is_left():
    """What keeps coming after [DONE] does not hold up the answer."""
    async with bench(main=Endless(b": ping\n\n", 0.01, begin=EVENT + DONE)) as one:
        assert await one.text() == "x" * 1000


class Headers(ModelServer):
    """A model server that notes the headers of its requests, and sets a cookie."""

    def __init__(self) -> None:
        super().__init__(Response(json.dumps(json.loads(whole("fine").body)), headers={"Set-Cookie": "session=1; Path=/"}))
        self.seen: list[dict[str, str]] = []

    async def answer(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        return await super().answer(request)


async def test_nothing_of_one_call_goes_along_with_the_next(monkeypatch):
    """No cookie, no trace context and no proxy or password of the environment goes along with a call."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    server = Headers()
    async with bench(main=server) as one:
        assert [await one.text(), await one.text()] == ["fine", "fine"]
    for headers in server.seen:
        assert not headers.keys() & {"cookie", "traceparent", "tracestate", "baggage"}
        assert headers["accept-encoding"] == "gzip"
