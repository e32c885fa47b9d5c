"""HTTP clients that keep nothing between two requests but connections."""

from __future__ import annotations

from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar
from urllib.request import Request

import httpx
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

__all__ = ["UntracedPool", "outgoing_client"]


class UntracedPool(httpx.AsyncHTTPTransport):
    """A connection pool without client spans of its own, also where ``HTTPXClientInstrumentor`` traces all pools."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request."""
        with suppress_http_instrumentation():
            return await super().handle_async_request(request)


class _NoCookies(CookieJar):
    """A jar that stores nothing: a cookie set in the answer to one caller is not sent with another caller's request."""

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        pass

    def set_cookie(self, cookie: Cookie) -> None:
        pass


def outgoing_client(transport: httpx.AsyncBaseTransport, *, timeout: httpx.Timeout | float | None) -> httpx.AsyncClient:
    """Returns a client that stores no cookies, follows no redirects, and reads no proxy or password from the environment.

    Args:
        transport: Usually a ``BoundedTransport``; closed with the client.
        timeout: Seconds for each single operation on the network; ``None`` where a deadline of the caller covers them.
    """
    return httpx.AsyncClient(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False, cookies=_NoCookies()
    )
