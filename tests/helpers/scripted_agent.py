"""A scripted A2A agent on a real socket: it answers, stalls, breaks the connection or sends invalid data."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.helpers.asgi_server import TIMEOUT, serving

Reply = Callable[[dict[str, Any]], Awaitable[Response]]


class ScriptedAgent:
    """Answers each message with ``reply``, keeps the requests in ``calls``, and sets ``cancelled`` at a CancelTask."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.ports: list[int] = []
        self.cancelled = threading.Event()
        self.arrived = threading.Event()
        self.skills = ["query"]
        self.streaming = True
        self.protocol_version = "1.0"
        self.card_url: str | None = None
        self.card_reply: Response | None = None
        self.url = ""

    def card(self) -> dict[str, Any]:
        return {
            "name": "scripted",
            "description": "does what a test says",
            "version": "1",
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "capabilities": {"streaming": self.streaming},
            "supportedInterfaces": [
                {"url": self.card_url or f"{self.url}/", "protocolBinding": "JSONRPC", "protocolVersion": self.protocol_version}
            ],
            "skills": [{"id": one, "name": one, "description": one, "tags": ["test"]} for one in self.skills],
        }

    async def _card(self, request: Request) -> Response:
        return self.card_reply or JSONResponse(self.card())

    async def _message(self, request: Request) -> Response:
        call = await request.json()
        self.calls.append(call)
        self.headers.append(dict(request.headers))
        self.ports.append(request.client.port if request.client else 0)
        if call["method"] == "CancelTask":
            self.cancelled.set()
            return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": task("TASK_STATE_CANCELED")["task"]})
        self.arrived.set()
        return await self.reply(call)

    @contextmanager
    def running(self) -> Iterator[ScriptedAgent]:
        app = Starlette(routes=[Route("/.well-known/agent-card.json", self._card), Route("/", self._message, methods=["POST"])])
        with serving(app, lifespan="off") as url:
            self.url = url
            yield self


def task(state: str, text: str = "", task_id: str = "t-1") -> dict[str, Any]:
    """A Task event."""
    one: dict[str, Any] = {"id": task_id, "contextId": "c-1", "status": {"state": state}}
    if text:
        one["artifacts"] = [{"artifactId": "a", "parts": [{"text": text}]}]
    return {"task": one}


def status(state: str, text: str = "", task_id: str = "t-1") -> dict[str, Any]:
    """A TaskStatusUpdateEvent."""
    one: dict[str, Any] = {"state": state}
    if text:
        one["message"] = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": text}]}
    return {"statusUpdate": {"taskId": task_id, "contextId": "c-1", "status": one}}


def artifact(text: str, task_id: str = "t-1", *, artifact_id: str = "a", append: bool = True) -> dict[str, Any]:
    """A TaskArtifactUpdateEvent."""
    parts = {"artifactId": artifact_id, "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": task_id, "contextId": "c-1", "artifact": parts, "append": append}}


def frame(call: dict[str, Any], event: dict[str, Any]) -> bytes:
    """Returns one event as the JSON-RPC binding streams it."""
    return b"data: " + json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": event}).encode() + b"\n\n"


def streamed(chunks: AsyncIterator[bytes], **headers: str) -> StreamingResponse:
    return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)


def replying(*events: dict[str, Any]) -> Reply:
    """Returns a reply that streams these events and ends."""

    async def reply(call: dict[str, Any]) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for event in events:
                yield frame(call, event)

        return streamed(chunks())

    return reply


def stalling(release: threading.Event, *events: dict[str, Any], then: tuple[dict[str, Any], ...] = ()) -> Reply:
    """Returns a reply that streams ``events``, waits for ``release``, and streams ``then``."""

    async def reply(call: dict[str, Any]) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for event in events:
                yield frame(call, event)
            await asyncio.to_thread(release.wait, TIMEOUT)
            for event in then:
                yield frame(call, event)

        return streamed(chunks())

    return reply
