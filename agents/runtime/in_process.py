"""HTTP to an application in the same process: no port, no socket, no other caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Any

import anyio
import httpx
from starlette.types import ASGIApp, Message, Scope

__all__ = ["InProcessTransport"]

_log = logging.getLogger(__name__)


class InProcessTransport(httpx.AsyncBaseTransport):
    """Calls an ASGI application and streams its answers, which ``httpx.ASGITransport`` collects until the application returns.

    An application runs in a task and a context of its own, as behind a server: of the caller's trace it sees the headers alone.
    It waits while the caller does not read, and is disconnected when the caller closes the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Calls the application. Raises ``httpx.RemoteProtocolError`` where it ends its answer too early, also in the body."""
        call = _Call(await request.aread())
        running = asyncio.create_task(call.run(self._app, _scope(request)), context=Context())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            start = await call.next_message()
        except BaseException:
            await call.aclose()
            raise
        return httpx.Response(start["status"], headers=start.get("headers", []), stream=call)

    async def drain(self, seconds: float) -> None:
        """Waits that long for calls under way, and cancels those that go on."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        left = list(self._running)
        for running in left:
            running.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _scope(request: httpx.Request) -> Scope:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.split(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port or 80),
        "client": None,
    }


class _Call(httpx.AsyncByteStream):
    """One call: the body of the request in one piece, and the messages of the answer as they are sent."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._sender, self._messages = anyio.create_memory_object_stream[Message]()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        with self._sender:
            try:
                await app(scope, self._receive, self._send)
            except Exception:
                if not self._gone.is_set():
                    _log.exception("an application of this process failed")

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        try:
            await self._sender.send(message)
        except anyio.BrokenResourceError:
            raise OSError("the caller is gone") from None  # as the ASGI specification has it from version 2.4 on

    async def next_message(self) -> Message:
        try:
            return await self._messages.receive()
        except anyio.EndOfStream:
            raise httpx.RemoteProtocolError("the application ended its answer too early") from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next_message()
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def aclose(self) -> None:
        self._gone.set()
        self._messages.close()
