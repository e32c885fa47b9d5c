"""The HTTP below every client of the service."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import threading
import zlib
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from agents.outgoing import BoundedTransport, outgoing_client

ORIGIN = "http://agent.test:9000"
LIMIT = 1_000_000
HELLO = b"hello, " * 1000
PACKED = gzip.compress(HELLO)


class Refused(Exception):
    """What the transport refuses."""


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Server(httpx.AsyncBaseTransport):
    """Answers each request with the same pieces, and keeps the requests."""

    def __init__(self, *pieces: bytes, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.body = Pieces(pieces)
        self.status = status
        self.headers = list(headers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(self.status, headers=self.headers, stream=self.body)


def get(server: Server, url: str = ORIGIN, *, limit: int = LIMIT, times: int = 1) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = BoundedTransport(server, origin=ORIGIN, limit=limit, refuse=Refused)
        async with outgoing_client(transport, timeout=None) as client:
            for _ in range(times):
                last = await client.get(url)
            return last

    return asyncio.run(answer())


def packed(*pieces: bytes, encoding: str = "gzip") -> Server:
    return Server(*pieces, headers=[("Content-Encoding", encoding)])


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_gzip_alone_is_asked_for():
    """Requests accept gzip alone, which is what the transport decodes."""
    server = Server(b"x")
    get(server)
    assert server.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " X-Gzip ", "identity, gzip", "gzip,", ", gzip"])
def test_gzip_is_decoded(encoding):
    """gzip and its alias are decoded in every spelling, and the answer has no header of the encoded body any more."""
    answer = get(Server(PACKED, headers=[("Content-Encoding", encoding), ("Content-Length", str(len(PACKED)))]))
    assert answer.content == HELLO
    assert "content-encoding" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", ",", "identity, identity"])
def test_identity_is_passed_on(encoding):
    """A body without an encoding is passed on as it is, gzip magic or not."""
    assert get(packed(PACKED, encoding=encoding)).content == PACKED


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "br, gzip", "compress", "gzip;q=1"])
def test_other_encodings_are_refused(encoding):
    """An encoding that was not asked for, or more than one, is refused, and the connection is given back."""
    server = packed(PACKED, encoding=encoding)
    with pytest.raises(Refused, match=r"^answers in a content encoding that was not asked for$"):
        get(server)
    assert server.body.closed


def test_several_encoding_headers_are_one_list():
    """Several Content-Encoding headers are read as one list."""
    with pytest.raises(Refused):
        get(Server(PACKED, headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "br")]))


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        pytest.param(PACKED + PACKED, HELLO * 2, id="two members"),
        pytest.param(gzip.compress(b"") * 3 + PACKED, HELLO, id="empty members"),
        pytest.param(b"".join(gzip.compress(bytes([at])) for at in range(256)), bytes(range(256)), id="many members"),
        pytest.param(PACKED + bytes(1000), HELLO, id="padding"),
        pytest.param(PACKED + b"garbage", HELLO, id="garbage"),
        pytest.param(PACKED + b"\x1fgarbage", HELLO, id="garbage like a member"),
        pytest.param(PACKED + bytes(1) + PACKED, HELLO, id="member after padding"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_members_are_decoded_up_to_what_is_no_member(size, data, decoded):
    """All members are decoded, however the bytes are cut; what follows the last one and is no member is ignored."""
    assert get(packed(*cut(data, size))).content == decoded


def test_random_members_in_random_pieces():
    """Whatever the members and the pieces they come in, the decoded body is the members' content."""
    dice = random.Random(1)
    for _ in range(50):
        contents = [dice.randbytes(dice.randrange(5000)) for _ in range(dice.randrange(1, 5))]
        data = b"".join(gzip.compress(content) for content in contents)
        assert get(packed(*cut(data, dice.randrange(1, 3000)))).content == b"".join(contents)


@pytest.mark.parametrize("end", [1, 5, 10, len(PACKED) - 9, len(PACKED) - 1])
@pytest.mark.parametrize("before", [b"", PACKED])
def test_truncated_gzip_is_refused(end, before):
    """gzip content that ends within a member, be it the first or a later one, is refused instead of taken as complete."""
    with pytest.raises(Refused, match=r"^sends gzip content that ends too early$"):
        get(packed(before + PACKED[:end]))


@pytest.mark.parametrize(
    "data", [b"plain text", PACKED[:-8] + bytes(8), zlib.compress(HELLO), b"\x1f\x8b\x07" + PACKED[3:], PACKED + b"\x1f\x8bxx"]
)
def test_broken_gzip_is_refused(data):
    """Content that is no gzip, or whose check sum is wrong, is refused."""
    with pytest.raises(Refused, match=r"^sends gzip content that is broken$"):
        get(packed(data))


@pytest.mark.parametrize("pack", [False, True])
def test_limit_is_exact_in_decoded_bytes(pack):
    """A body of as many decoded bytes as the limit is accepted; one byte more is refused."""
    for size in (0, 1, 65_536, 100_000):
        data = os.urandom(size)
        server = packed(*cut(gzip.compress(data), 1000)) if pack else Server(*cut(data, 1000))
        assert get(server, limit=max(1, size)).content == data
        if size > 1:
            with pytest.raises(Refused, match="larger than the settings allow"):
                get(server, limit=size - 1)


@pytest.mark.parametrize("body", [gzip.compress(b""), bytes(20)])
def test_packed_bytes_are_limited_too(body):
    """Members without content, and bytes after the last member, do not get past the limit."""
    with pytest.raises(Refused, match="larger than the settings allow"):
        get(packed(PACKED, *[body * 100] * 1000), limit=len(HELLO))


def test_bomb_is_cut_off_at_the_limit():
    """Of a body that decodes to more than the limit, no more than one piece over it is decoded."""
    seen: list[int] = []

    async def read() -> None:
        server = packed(gzip.compress(bytes(50_000_000)))
        transport = BoundedTransport(server, origin=ORIGIN, limit=100_000, refuse=Refused, counted=seen.append)
        async with outgoing_client(transport, timeout=None) as client:
            await client.get(ORIGIN)

    with pytest.raises(Refused):
        asyncio.run(read())
    assert 100_000 < sum(seen) <= 100_000 + 65_536


def test_loop_runs_while_a_packet_is_decoded():
    """Other tasks run between the pieces that one packet decodes to."""
    turns = 0

    async def others(stop: threading.Event) -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            await asyncio.sleep(0)

    async def read() -> None:
        stop = threading.Event()
        running = asyncio.create_task(others(stop))
        transport = BoundedTransport(packed(gzip.compress(bytes(6_400_000))), origin=ORIGIN, limit=10_000_000, refuse=Refused)
        async with outgoing_client(transport, timeout=None) as client:
            await client.get(ORIGIN)
        stop.set()
        await running

    asyncio.run(read())
    assert turns >= 90


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_redirects_are_refused(status):
    """Every 3xx answer is refused with its status, and nothing more is sent."""
    server = Server(b"", status=status, headers=[("Location", f"{ORIGIN}/elsewhere")])
    with pytest.raises(Refused, match=rf"^answers with a redirect \(status {status}\), and none is followed$"):
        get(server)
    assert (len(server.asked), server.body.closed) == (1, True)


@pytest.mark.parametrize(
    "url",
    ["https://agent.test:9000", "http://agent.test:9001", "http://agent.test", "http://other.test:9000", "http://a@b:9000/"],
)
def test_other_origins_are_refused(url):
    """A request to another scheme, host or port than the origin's is refused before it is sent."""
    server = Server(b"")
    with pytest.raises(Refused, match=r"^points to an address that is not in the settings$"):
        get(server, url)
    assert server.asked == []


@pytest.mark.parametrize("url", [f"{ORIGIN}/x", "http://AGENT.test:9000/x?y", "http://user:word@agent.test:9000"])
def test_any_path_of_the_origin_is_sent_to(url):
    """Path, query and spelling of the host do not make another origin."""
    assert get(Server(b"yes"), url).text == "yes"


@pytest.mark.parametrize("cookie", ["a=1", "a=1; Path=/; Max-Age=999", "a=1; Domain=agent.test", "bad", "=", "x" * 10_000])
def test_no_cookie_is_kept(cookie):
    """A cookie that an answer sets is not sent with the next request."""
    server = Server(b"x", headers=[("Set-Cookie", cookie), ("Set-Cookie2", cookie)])
    get(server, times=2)
    assert [request.headers.get("cookie") for request in server.asked] == [None, None]


@pytest.mark.parametrize(
    "charset", ["utf-8", "latin-1", "utf-16", "punycode", "zip", "base64", "unicode_escape", "idna", "nonsense"]
)
def test_text_is_utf_8_whatever_the_server_says(charset):
    """Bodies are read as UTF-8, that of JSON and event streams: other codecs decode in quadratic time, or to no text."""
    server = Server(
        "gr\u00fc\u00dfe \u2028".encode(), b"\xff", headers=[("Content-Type", f"text/event-stream; charset={charset}")]
    )
    assert get(server).text == "gr\u00fc\u00dfe \u2028\ufffd"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a\nb\rc\r\nd\n\ne", ["a", "b", "c", "d", "", "e"]),
        ("\r\n\r\na\n", ["a"]),
        ("a\r\r\n\n\nb\n\n", ["a", "", "b", ""]),
        (":\n: b\na\n:c\n\n:d\n\nb\n", ["a", "", "b"]),
        ("\ufeffa\n\ufeffb", ["a", "\ufeffb"]),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\n", ["a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"]),
        ("", []),
        ("no end", ["no end"]),
    ],
)
def test_lines_are_those_of_an_event_stream(body, expected, size):
    """Lines end with CR, LF or both, in whatever pieces the body comes; comments and blank lines beside events are left out."""

    async def read() -> list[str]:
        transport = BoundedTransport(Server(*cut(body.encode(), size)), origin=ORIGIN, limit=LIMIT, refuse=Refused)
        async with outgoing_client(transport, timeout=None) as client, client.stream("GET", ORIGIN) as answer:
            return [line async for line in answer.aiter_lines()]

    assert asyncio.run(read()) == expected
