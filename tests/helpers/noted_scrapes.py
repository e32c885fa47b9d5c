"""Notes on the wire what a scraper asks for and what it gets, in front of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["NotedScrape", "NotedScrapes", "forward_to"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class NotedScrape:
    """The headers of a scrape."""

    accept: str
    accept_encoding: str
    status: int
    content_type: str
    content_encoding: str

    @property
    def format(self) -> str:
        """The content type's media type and first parameter: the version, or Protocol Buffers' message."""
        return "; ".join(part.strip() for part in self.content_type.split(";")[:2])


class NotedScrapes:
    """An ASGI application that hands each request on.

    Attributes:
        by_path: The last scrape of each path; give each scrape job a path of its own.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.by_path: dict[str, NotedScrape] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on and notes its headers, and those of the answer."""
        asked = _text(scope.get("headers", ()))

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                got = _text(message["headers"])
                self.by_path[scope["path"]] = NotedScrape(
                    asked.get("accept", ""),
                    asked.get("accept-encoding", ""),
                    message["status"],
                    got.get("content-type", ""),
                    got.get("content-encoding", ""),
                )
            await send(message)

        await self._app(scope, receive, noting)


def forward_to(url: str) -> App:
    """Returns an ASGI application that hands each GET on to the server at ``url``, its body unchanged."""

    async def forward(scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(key, value) for key, value in scope["headers"] if key != b"host"]
        async with (
            httpx.AsyncClient(timeout=20) as client,
            client.stream("GET", f"{url}{scope['path']}", headers=headers) as answer,
        ):
            await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.headers.raw})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})

    return forward


def _text(headers: Any) -> dict[str, str]:
    return {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in headers}
