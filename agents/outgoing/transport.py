"""A transport that sends to one origin, and decodes and bounds the answers."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from agents.outgoing.sse import event_lines

__all__ = ["BoundedTransport"]

_CHUNK = 64 * 1024
"""Bytes of a decoded piece at most."""
_STALE_HEADERS = (b"content-encoding", b"content-length")
"""Headers that are wrong once the body is decoded."""
_MAGIC = b"\x1f\x8b"
"""First bytes of a gzip member (RFC 1952, section 2.3.1)."""
Refuse = Callable[[str], Exception]


class BoundedTransport(httpx.AsyncBaseTransport):
    """Sends to one origin alone, whatever a document or a redirect of the server says, and bounds its answers.

    Redirects are refused, and so are content encodings other than gzip, alias x-gzip, which alone is asked for.

    Args:
        inner: Sends the requests; closed with this transport.
        origin: A URL whose scheme, host and port all requests must have.
        limit: Bytes that a body may have after content decoding. Before it, little more is accepted.
        refuse: Makes the exception that is raised, from what the server does: ``"sends gzip content that is broken"``.
        counted: Called with the size of each piece of a body after content decoding, the one over the limit included.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        origin: str,
        limit: int,
        refuse: Refuse,
        counted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._origin = _origin(httpx.URL(origin))
        self._limit = limit
        self._refuse = refuse
        self._counted = counted

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request. Raises the exception of ``refuse``, now or while the body is read, and those of ``inner``."""
        if _origin(request.url) != self._origin:
            raise self._refuse("points to an address that is not in the settings")
        request.headers["Accept-Encoding"] = "gzip"
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport answers with
        try:
            gzipped = self._is_gzipped(response)
        except BaseException:
            await response.stream.aclose()
            raise
        body = _Body(response.stream, _Gzip(self._refuse) if gzipped else None, self._limit, self._refuse, self._counted)
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _STALE_HEADERS]
        answer = _Answer(response.status_code, headers=headers, stream=body, extensions=response.extensions)
        answer.encoding = "utf-8"  # that of JSON and of event streams; a server's own word could name any of Python's codecs
        return answer

    def _is_gzipped(self, response: httpx.Response) -> bool:
        if 300 <= response.status_code < 400:
            raise self._refuse(f"answers with a redirect (status {response.status_code}), and none is followed")
        named = (one.strip().lower() for one in response.headers.get("Content-Encoding", "").split(","))
        encodings = [one for one in named if one not in ("", "identity")]
        if encodings not in ([], ["gzip"], ["x-gzip"]):
            raise self._refuse("answers in a content encoding that was not asked for")
        return bool(encodings)

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._inner.aclose()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Answer(httpx.Response):
    """An answer whose lines are those of an event stream: those that matter, with its ends of lines."""

    def aiter_lines(self) -> AsyncIterator[str]:
        return event_lines(self.aiter_text())


class _Body(httpx.AsyncByteStream):
    """A body: decoded, counted, and ended by an exception at the limit before it fills the memory."""

    def __init__(
        self, raw: httpx.AsyncByteStream, gzip: _Gzip | None, limit: int, refuse: Refuse, counted: Callable[[int], None]
    ) -> None:
        self._raw = raw
        self._gzip = gzip
        self._limit = limit
        self._refuse = refuse
        self._counted = counted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        # gzip makes data that it cannot compress larger by less than this. Members without data count here alone.
        packed_left = left + left // 16 + 1024
        async for raw in self._raw:
            packed_left -= len(raw)
            if packed_left < 0:
                raise self._too_large()
            for data in (raw,) if self._gzip is None else self._gzip.decoded(raw):
                left -= len(data)
                self._counted(len(data))
                if left < 0:
                    raise self._too_large()
                yield data
                await asyncio.sleep(0)  # one packet may decode to thousands of pieces
        if self._gzip is not None:
            self._gzip.finish()

    def _too_large(self) -> Exception:
        return self._refuse("sends an answer that is larger than the settings allow")

    async def aclose(self) -> None:
        await self._raw.aclose()


class _Gzip:
    """Decodes the members of a gzip file (RFC 1952, section 2.2).

    After the last member all bytes are ignored, as browsers and ``gzip -d`` do: padding, or what a broken server adds.
    """

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._member = _member()
        self._between = False
        """Whether a member has ended, and what follows it is not known yet."""
        self._begun = False
        self._ended = False
        self._head = b""

    def decoded(self, raw: bytes) -> Iterator[bytes]:
        """Yields the pieces that these bytes decode to. Raises the exception of ``refuse``."""
        while raw and not self._ended:
            if self._between:
                raw = self._next_member(raw)
                continue
            self._begun = True
            try:
                data = self._member.decompress(raw, _CHUNK)
            except zlib.error as error:
                raise self._refuse("sends gzip content that is broken") from error
            raw = self._member.unconsumed_tail
            if self._member.eof:
                raw = self._member.unused_data
                self._between = True
            if data:
                yield data

    def _next_member(self, raw: bytes) -> bytes:
        """Begins the next member if its magic number comes; else ends the content. Returns the bytes to decode."""
        head = self._head + raw
        if len(head) < len(_MAGIC) and _MAGIC.startswith(head):
            self._head = head
            return b""
        self._head = b""
        self._ended = not head.startswith(_MAGIC)
        self._between = False
        self._member = _member()
        return head

    def finish(self) -> None:
        """Raises the exception of ``refuse`` if the content ends within a member."""
        complete = self._ended or (self._between and not self._head)
        if self._begun and not complete:
            raise self._refuse("sends gzip content that ends too early")


def _member() -> zlib._Decompress:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)
