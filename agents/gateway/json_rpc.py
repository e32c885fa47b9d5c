"""A2A over JSON-RPC, with answers that are parsed in bounded time and off the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import httpx
from a2a.client.client import ClientCallContext
from a2a.client.transports.http_helpers import get_http_args, parse_sse_stream
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    Part,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    Task,
)
from a2a.utils.proto_utils import parse_lenient
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # its stubs are another package

from agents.gateway.failure import RunFailure, rpc_failure
from agents.outgoing.json_values import MOST_VALUES, count_values

__all__ = ["JsonReader", "JsonRpc", "result_of", "too_many_values"]

_T = TypeVar("_T")
_VALUES = MOST_VALUES
_LONG_TEXT = 64 * 1024
"""Characters of a text that Protocol Buffers does not get to see while it parses."""
_INLINE_CHARACTERS = 8 * 1024
"""Longest document that is parsed on the loop: at most 4,000 values, which take 20 ms."""


def too_many_values(limit: int = _VALUES) -> RunFailure:
    """Returns the failure of a run whose agent sends more values than that."""
    return RunFailure("protocol", f"the agent sends JSON of more than {limit} values at once")


class JsonReader:
    """Parses what one agent sends: small documents at once, large ones one after the other in a thread."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore()

    async def read(self, text: str | bytes, into: Callable[[Any], _T]) -> _T:
        """Parses a document and returns what ``into`` makes of it.

        Raises:
            RunFailure: It is no JSON, ``into`` cannot use it, or it has too many values.
        """
        if len(text) <= _INLINE_CHARACTERS:
            return _read(text, into)
        async with self._turn:
            return await asyncio.to_thread(_read, text, into)


def _read(text: str | bytes, into: Callable[[Any], _T]) -> _T:
    try:
        characters = text.decode() if isinstance(text, bytes) else text
        if count_values(characters) > _VALUES:
            raise too_many_values()
        return into(json.loads(characters, parse_constant=_refuse))
    except RunFailure:
        raise
    except Exception as error:  # ValueError, RecursionError, and what parsers raise for values of another type
        raise RunFailure("protocol", "the agent's answer is no A2A answer") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


class JsonRpc(JsonRpcTransport):
    """The methods that the gateway uses. Those of the base class parse on the event loop, without any limit."""

    def __init__(self, http: httpx.AsyncClient, card: AgentCard, url: str, reader: JsonReader) -> None:
        super().__init__(http, card, url, is_shared_httpx=True)
        self._reader = reader

    async def send_message(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> SendMessageResponse:
        """Sends a message and returns the agent's task or message."""
        return await self._call("SendMessage", request, SendMessageResponse, context)

    async def get_task(self, request: GetTaskRequest, *, context: ClientCallContext | None = None) -> Task:
        """Returns a task."""
        return await self._call("GetTask", request, Task, context)

    async def cancel_task(self, request: CancelTaskRequest, *, context: ClientCallContext | None = None) -> Task:
        """Cancels a task and returns it."""
        return await self._call("CancelTask", request, Task, context)

    async def send_message_streaming(
        self, request: SendMessageRequest, *, context: ClientCallContext | None = None
    ) -> AsyncGenerator[StreamResponse]:
        """Sends a message and yields the events of the answer."""
        accepted = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        response = await self._send("SendStreamingMessage", request, context, accepted)
        try:
            async with aclosing(_documents(response)) as documents:
                async for document in documents:
                    yield await self._reader.read(document, lambda answer: result_of(answer, StreamResponse()))
        finally:
            await response.aclose()

    async def _call(self, method: str, request: Any, answer: Callable[[], _T], context: ClientCallContext | None) -> _T:
        response = await self._send(method, request, context, {})
        try:
            document = await response.aread()
        finally:
            await response.aclose()
        return await self._reader.read(document, lambda found: result_of(found, answer()))

    async def _send(
        self, method: str, request: Any, context: ClientCallContext | None, headers: dict[str, str]
    ) -> httpx.Response:
        """Sends a call and returns the answer, of which only status and headers have been read."""
        given = get_http_args(context)
        given["headers"] = {**headers, **given.get("headers", {})}
        call = {"jsonrpc": "2.0", "id": str(uuid4()), "method": method, "params": MessageToDict(request)}
        response = await self.httpx_client.send(
            self.httpx_client.build_request("POST", self.url, json=call, **given), stream=True
        )
        if not response.is_success:
            await response.aclose()
            response.raise_for_status()
        return response


async def _documents(response: httpx.Response) -> AsyncGenerator[str | bytes]:
    """The JSON documents of an answer: the data of its events, or its whole body where it has no events."""
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        yield await response.aread()
        return
    async with aclosing(parse_sse_stream(response)) as events:
        async for _, data in events:  # an event named error has a JSON-RPC error as its data
            if data:
                yield data


def result_of(answer: Any, message: _T) -> _T:
    """Reads the result of a JSON-RPC answer into the message. Raises ``RunFailure`` for an error answer."""
    if error := answer.get("error"):
        raise rpc_failure(error.get("code"))
    result = answer["result"]
    if not isinstance(result, dict):  # the parser takes text for JSON, whose values nothing has counted
        raise TypeError("no object")
    mark = uuid4().hex
    taken = _without_long_texts(result, mark)
    found = parse_lenient(result, message)
    for part in _parts(found) if taken else ():
        if part.text.startswith(mark):
            part.text = taken[int(part.text[len(mark) :])]
    return found


def _without_long_texts(result: dict[str, Any], mark: str) -> list[str]:
    """Takes the long texts out of the parts; in each one's place is its number behind the mark.

    Protocol Buffers looks for halves of surrogate pairs in each text by a regular expression, which holds the interpreter for
    45 ms a MiB, in whatever thread; encoding finds them in a hundredth of that. Raises ``ValueError`` where there is one.
    """
    taken: list[str] = []
    inside: list[Any] = [result]
    while inside:
        one = inside.pop()
        if isinstance(one, list):
            inside += one
        elif isinstance(one, dict):
            text = one.get("text")
            if isinstance(text, str) and len(text) > _LONG_TEXT:
                text.encode()
                one["text"] = f"{mark}{len(taken)}"
                taken.append(text)
            inside += [value for key, value in one.items() if key not in ("data", "metadata")]  # free JSON, not looked into
    return taken


def _parts(found: Any) -> Iterator[Part]:
    """The parts that an answer holds."""
    if isinstance(found, Task):
        for artifact in found.artifacts:
            yield from artifact.parts
        for message in (*found.history, found.status.message):
            yield from message.parts
        return
    for field, one in found.ListFields():
        if field.name == "task":
            yield from _parts(one)
        elif field.name == "message":
            yield from one.parts
        elif field.name == "artifact_update":
            yield from one.artifact.parts
        elif field.name == "status_update":
            yield from one.status.message.parts
