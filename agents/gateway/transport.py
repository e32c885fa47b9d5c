"""The HTTP below the A2A client: sends to one address only, counts bytes, limits answers."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, Token
from types import TracebackType

import httpx
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from agents.gateway.failure import RunFailure

__all__ = ["AgentTransport", "Exchange", "UntracedPool"]

_CHUNK = 64 * 1024
_STALE_HEADERS = (b"content-encoding", b"content-length")
"""Headers that are wrong once the body is decoded."""


class Exchange:
    """The HTTP exchange of one call; leaving the block closes its response bodies.

    Args:
        add_bytes: Called with the size of each piece of a response body, after content decoding.
        sent: Called with the size of each request's body.
    """

    def __init__(self, add_bytes: Callable[[int], None], sent: Callable[[int], None] = lambda _: None) -> None:
        self.add_bytes = add_bytes
        self.sent = sent
        self.bodies: list[_Body] = []
        self._token: Token[Exchange | None] | None = None

    async def __aenter__(self) -> Exchange:
        self._token = _exchange.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _exchange.reset(self._token)
        for body in self.bodies:
            await body.aclose()


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class UntracedPool(httpx.AsyncHTTPTransport):
    """A connection pool without client spans of its own, also where ``HTTPXClientInstrumentor`` traces all pools."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request."""
        with suppress_http_instrumentation():
            return await super().handle_async_request(request)


class AgentTransport(httpx.AsyncBaseTransport):
    """Sends to ``origin`` alone, whatever a card or a redirect says, and accepts at most ``limit`` bytes of an answer."""

    def __init__(self, origin: str, limit: int, inner: httpx.AsyncBaseTransport) -> None:
        self._origin = _origin(httpx.URL(origin))
        self._limit = limit
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request.

        Raises:
            RunFailure: The request goes to another origin, or the answer has a content encoding other than gzip.
        """
        if _origin(request.url) != self._origin:
            raise RunFailure("protocol", "the agent points to an address that is not in the settings")
        request.headers["Accept-Encoding"] = "gzip"  # what _Body can decode
        exchange = _exchange.get()
        if exchange is not None and (size := request.headers.get("Content-Length", "")).isdecimal():
            exchange.sent(int(size))
        response = await self._inner.handle_async_request(request)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity"):
            await response.aclose()
            raise RunFailure("protocol", "the agent's answer has a content encoding that was not asked for")
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _STALE_HEADERS]
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport answers with
        body = _Body(response.stream, encoding == "gzip", self._limit, exchange)
        if exchange is not None:
            exchange.bodies.append(body)
        return httpx.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)

    async def aclose(self) -> None:
        """Closes the pool."""
        await self._inner.aclose()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Body(httpx.AsyncByteStream):
    """A response body: decoded, counted, and ended by ``RunFailure`` at the limit before it fills the memory."""

    def __init__(self, raw: httpx.AsyncByteStream, gzipped: bool, limit: int, exchange: Exchange | None) -> None:
        self._raw = raw
        self._decoder = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzipped else None
        self._left = limit
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for raw in self._raw:
            for data in self._decoded(raw):
                self._left -= len(data)
                if self._exchange is not None:
                    self._exchange.add_bytes(len(data))
                if self._left < 0:
                    raise RunFailure("protocol", "the agent's answer is larger than the settings allow")
                yield data

    def _decoded(self, raw: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield raw
            return
        while raw:
            try:
                data = self._decoder.decompress(raw, _CHUNK)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            raw = self._decoder.unconsumed_tail
            if data:
                yield data

    async def aclose(self) -> None:
        await self._raw.aclose()
