"""MCP over streamable HTTP: one origin, bounded answers, no cookies, nothing from the environment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar
from typing import TYPE_CHECKING
from urllib.request import Request

import httpx2
from mcp.client.streamable_http import streamable_http_client

from agents.settings import McpServerSettings

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

__all__ = ["AnswerTooLarge", "http_streams"]

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 300.0
"""Seconds between two pieces of an answer; a call's own time ends it earlier."""


class AnswerTooLarge(httpx2.StreamError):
    """A server's answer has more bytes than the settings allow, or an encoding that was not asked for."""


@asynccontextmanager
async def http_streams(settings: McpServerSettings) -> AsyncIterator[TransportStreams]:
    """Yields the SDK's streams to the server at the URL. Each answer, and each event of a stream, is bounded in bytes."""
    client = httpx2.AsyncClient(
        transport=_Bounded(settings.response_limit),
        headers=settings.headers,
        timeout=httpx2.Timeout(_IDLE_SECONDS, connect=_CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
        cookies=_NoCookies(),
    )
    async with (
        client,
        streamable_http_client(settings.url, http_client=client, max_sse_event_size=settings.response_limit) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncHTTPTransport):
    """A connection pool that asks for no content encoding, accepts none, and ends an answer at the limit.

    The stream of a session's notifications (GET) may be long; its events are bounded one by one.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(trust_env=False)
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - what an async transport answers with
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            await response.stream.aclose()
            raise AnswerTooLarge("the server answers in a content encoding that was not asked for")
        if request.method != "GET":
            response.stream = _BoundedBody(response.stream, self._limit)
        return response


class _BoundedBody(httpx2.AsyncByteStream):
    def __init__(self, raw: httpx2.AsyncByteStream, limit: int) -> None:
        self._raw = raw
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._raw:
            self._left -= len(piece)
            if self._left < 0:
                raise AnswerTooLarge("the server sends an answer that is larger than the settings allow")
            yield piece

    async def aclose(self) -> None:
        await self._raw.aclose()


class _NoCookies(CookieJar):
    """A jar that stores nothing: a cookie of one caller's answer is not sent with another caller's call."""

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        pass

    def set_cookie(self, cookie: Cookie) -> None:
        pass
