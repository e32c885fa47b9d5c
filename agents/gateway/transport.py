"""The HTTP of one call of an agent: its request's size, its bytes, its open bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

import httpx

from agents.gateway.failure import RunFailure
from agents.gateway.json_rpc import too_many_values
from agents.outgoing import BoundedTransport, event_lines
from agents.outgoing.json_values import count_values

__all__ = ["AgentTransport", "Exchange"]

_VALUES_ON_LOOP = 10_000
"""JSON values that the SDK's client of A2A 0.3 may parse at once: it does so on the event loop, in up to 10 us each."""


class Exchange:
    """The HTTP exchange of one call; leaving the block closes its response bodies.

    Args:
        add_bytes: Called with the size of each piece of a response body, after content decoding.
        sent: Called with the size of each request's body.
    """

    def __init__(self, add_bytes: Callable[[int], None], sent: Callable[[int], None] = lambda _: None) -> None:
        self.add_bytes = add_bytes
        self.sent = sent
        self.answers: list[httpx.Response] = []
        self._token: Token[Exchange | None] | None = None

    async def __aenter__(self) -> Exchange:
        self._token = _exchange.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _exchange.reset(self._token)
        for answer in self.answers:
            await answer.aclose()


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class AgentTransport(httpx.AsyncBaseTransport):
    """Sends to one agent alone, and tells the current ``Exchange`` what is sent and what comes.

    Args:
        origin: The agent's URL in the settings.
        limit: Bytes that an answer may have after content decoding.
        inner: Sends the requests.
    """

    def __init__(self, origin: str, limit: int, inner: httpx.AsyncBaseTransport) -> None:
        self.legacy = False
        """Whether the agent speaks A2A 0.3."""
        self._bounded = BoundedTransport(inner, origin=origin, limit=limit, refuse=_refused, counted=_count)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request. Raises ``RunFailure`` for what ``BoundedTransport`` refuses."""
        exchange = _exchange.get()
        if exchange is not None and (size := request.headers.get("Content-Length", "")).isdecimal():
            exchange.sent(int(size))
        answer = await self._bounded.handle_async_request(request)
        if self.legacy:
            answer = _LegacyAnswer(
                answer.status_code, headers=answer.headers, stream=answer.stream, extensions=answer.extensions
            )
            answer.encoding = "utf-8"
        if exchange is not None:
            exchange.answers.append(answer)
        return answer

    async def aclose(self) -> None:
        """Closes the pool."""
        await self._bounded.aclose()


class _LegacyAnswer(httpx.Response):
    """An answer that the SDK's client of A2A 0.3 parses: refused before it takes long."""

    async def aiter_lines(self) -> AsyncIterator[str]:
        values = 0
        async for line in event_lines(self.aiter_text()):
            values = values + count_values(line, _VALUES_ON_LOOP) if line else 0
            if values > _VALUES_ON_LOOP:
                raise too_many_values(_VALUES_ON_LOOP)
            yield line

    def json(self, **kwargs: Any) -> Any:
        if count_values(self.text, _VALUES_ON_LOOP) > _VALUES_ON_LOOP:
            raise too_many_values(_VALUES_ON_LOOP)
        return super().json(**kwargs)


def _refused(what: str) -> RunFailure:
    return RunFailure("protocol", f"the agent {what}")


def _count(size: int) -> None:
    exchange = _exchange.get()
    if exchange is not None:
        exchange.add_bytes(size)
