"""Malformed requests, the same for the same seed, and the statuses that a server answers them with."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["flood", "requests"]

T = TypeVar("T")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_ANSWER_SECONDS = 0.5
"""Seconds to wait for an answer: an unfinished request gets none."""
_AT_ONCE = 64
_JSON = b'{"input": "hello", "operation": "query"}'
_LINES = (
    b"POST /agents/navi/runs HTTP/1.1",
    b"POST /agents/nobody/runs HTTP/1.1",
    b"GET /agents HTTP/1.1",
    b"GET /metrics HTTP/1.1",
    b"GET /health/live HTTP/1.1",
    b"PUT /agents/herald/runs HTTP/1.1",
    b"GET /nowhere HTTP/1.1",
)
_PATHS = (b"/agents", b"/agents/navi/runs", b"/agents/herald/runs", b"/metrics", b"/health/live", b"/health/ready")
_TRICKS = (
    b"//metrics",
    b"/metrics/",
    b"/%2e/metrics",
    b"/agents/%2e%2e/metrics",
    b"/agents/\xff/runs",
    b"/agents/%ff%fe/runs",
    b"/agents/%00/runs",
    b"/agents/na%0d%0avi/runs",
    b"*",
    b"http://elsewhere/agents",
    b"/agents?%ff=%fe&&&",
    b"",
    b"/agents/" + b"a" * 3000 + b"/runs",
    b"/" + b"../" * 500,
    b"/agents/%F0%9F%92%A9/runs",
    b"\\agents",
    b"/agents#x",
)
_METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"get", b"", b"G\x00T", b"G" * 500)
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.7", b"http/1.1", b"HTTP/1.1 x", b"HTTQ/1.1", b"")
_HEADERS = (
    b"no colon",
    b": no name",
    b"X : space",
    b" folded",
    b"\tfolded",
    b"X:\x00",
    b"X: \xff\xfe",
    b"X\xe4: y",
    b"Host: two",
    b"Content-Length: -1",
    b"Content-Length: x",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 3, 4",
    b"Content-Length: 0x10",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Connection: close, close, x",
    b"Content-Encoding: gzip",
    b"Content-Type: text/\xff",
    b"X-Workspace-Id: a b",
    b"X-Workspace-Id: " + b"w" * 65,
    b"X-Workspace-Id: \xff",
    b"Accept: \xff",
    b"Accept: text/event-stream;;;q=\x01",
    b"Accept-Encoding: gzip;q=x,,,",
    b"traceparent: 00-\xff-00-01",
    b"traceparent: 00-00000000000000000000000000000000-0000000000000000-ff",
    b"baggage: " + b"a=b," * 400,
    b"tracestate: " + b"x" * 600,
    b"Authorization: Bearer \xff",
    b"Cookie: " + b"c" * 4000,
    b"X-Forwarded-For: ,,\xff,",
)
_BODIES = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"null",
    b'{"input": "\\ud800"}',
    b'{"input": "\xed\xa0\x80"}',
    b'{"input": 1e999}',
    b'{"input": ""}',
    b'{"input": "a", "operation": "\\u0000"}',
    b"[" * 5000,
    b'{"a":' * 2000,
    b'{"input": "a", "input": 3}',
    b'{"input": "a", "operation": "' + b"o" * 65 + b'"}',
    b'{"input": "\x00"}',
    b"NaN",
    b'"' + b"s" * 20_000 + b'"',
)
_CHUNKS = (
    b"zz\r\n",
    b"-1\r\n",
    b"ffffffffffffffffff\r\n",
    b"5\r\nhel",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"\r\n",
    b"5;" + b"e" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    b"0\r\nTrailer\r\n\r\n",
    b"0\r\nX: " + b"t" * 70_000,
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"28\r\n" + _JSON + b"\r\n0\r\n\xff: \xff\r\n\r\n",
)


def requests(seed: int) -> Iterator[bytes]:
    """Yields requests without end: wrong in their first line, headers, chunks, body or size, or changed at random."""
    chance = random.Random(seed)
    kinds = (_wrong_line, _wrong_header, _wrong_body, _wrong_chunks, _oversized, _changed, _noise)
    while True:
        yield chance.choice(kinds)(chance)


def _request(
    chance: random.Random, *, line: bytes | None = None, headers: bytes = b"", body: bytes = _JSON, length: bool = True
) -> bytes:
    line = line or chance.choice(_LINES)
    announced = b"Content-Length: %d\r\n" % len(body) if length else b""
    return line + b"\r\nHost: test\r\nContent-Type: application/json\r\n" + announced + headers + b"\r\n" + body


def _wrong_line(chance: random.Random) -> bytes:
    target = chance.choice(_PATHS + _TRICKS)
    line = b" ".join((chance.choice(_METHODS), target, chance.choice(_VERSIONS)))
    return _request(chance, line=line, body=chance.choice((b"", _JSON)))


def _wrong_header(chance: random.Random) -> bytes:
    chosen = chance.sample(_HEADERS, chance.randint(1, 3))
    return _request(chance, headers=b"".join(header + b"\r\n" for header in chosen))


def _wrong_body(chance: random.Random) -> bytes:
    return _request(chance, body=chance.choice(_BODIES))


def _wrong_chunks(chance: random.Random) -> bytes:
    both = chance.choice((b"", b"Content-Length: 40\r\n"))
    headers = both + b"Transfer-Encoding: chunked\r\n"
    return _request(chance, headers=headers, body=chance.choice(_CHUNKS), length=False)


def _oversized(chance: random.Random) -> bytes:
    size = chance.choice((9_000, 33_000, 80_000))
    where = chance.randrange(4)
    if where == 0:
        return _request(chance, line=b"GET /" + b"p" * size + b" HTTP/1.1")
    if where == 1:
        return _request(chance, headers=b"X: " + b"h" * size + b"\r\n")
    if where == 2:
        return _request(chance, headers=b"".join(b"X-%d: y\r\n" % number for number in range(size // 10)))
    return _request(chance, body=b"x", headers=b"Content-Length: %d\r\n" % (size * 1000), length=False)


def _changed(chance: random.Random) -> bytes:
    """A good request with bytes replaced, removed or repeated, or with its end missing."""
    data = bytearray(_request(chance))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) or 1)
        kind = chance.randrange(4)
        if kind == 0:
            data[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            del data[at : at + chance.randint(1, 8)]
        elif kind == 2:
            data[at:at] = data[at : at + chance.randint(1, 40)]
        else:
            del data[at + 1 :]
    return bytes(data)


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 300))


def flood(port: int, count: int, seed: int, tell: Callable[[int], None] = lambda _: None) -> Counter[int]:
    """Sends malformed requests, each over a connection of its own, 64 at a time.

    Args:
        port: Loopback port of the server.
        count: Number of requests.
        seed: Seed of the random requests.
        tell: Called with the number of finished requests after every 1,000.

    Returns:
        How often each status came; 0 stands for a connection that was closed or left without an answer.
    """
    return asyncio.run(_flood(port, count, seed, tell))


async def _flood(port: int, count: int, seed: int, tell: Callable[[int], None]) -> Counter[int]:
    pending, statuses, done = islice(requests(seed), count), Counter[int](), 0

    async def work() -> None:
        nonlocal done
        for request in pending:
            statuses.update(await _ask(port, request))
            done += 1
            if done % 1000 == 0:
                tell(done)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    return statuses


async def _ask(port: int, request: bytes) -> list[int]:
    """Sends one request over a new connection and returns the statuses of the answers, or 0."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        writer.write(request)
        async with asyncio.timeout(_ANSWER_SECONDS):
            while not _STATUS.search(found) and (data := await reader.read(65536)):
                found += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return [int(status) for status in _STATUS.findall(found)] or [0]
