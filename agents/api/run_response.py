"""The answer to a run: one JSON object, or server-sent events, until the run ends or the caller leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import anyio
from opentelemetry.trace import format_trace_id, get_current_span
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agents.api.problem import problem
from agents.api.workspace import accepted
from agents.gateway.dashboard_gateway import DashboardGateway, UnknownAgent, UnknownOperation
from agents.gateway.failure import RunFailure
from agents.gateway.run import Run

__all__ = ["RunResponse"]

_log = logging.getLogger(__name__)

_STATUS = {"timeout": 504, "internal": 500}
"""HTTP status of a failed run by its error type; 502 for all other types."""


class RunResponse(Response):
    """Executes the run while it answers. A caller that disconnects cancels the run.

    All of it happens in the task of the request, so that spans open and close in the same context.
    """

    def __init__(self, gateway: DashboardGateway, run: Run, *, events: bool) -> None:
        super().__init__()
        self._gateway = gateway
        self._run = run
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request; an exception of the run becomes an error answer."""
        async with anyio.create_task_group() as group:

            async def cancel_on_disconnect() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(cancel_on_disconnect)
            await self._answer(scope, receive, send)
            group.cancel_scope.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._gateway.prepare(self._run)
        except UnknownAgent:
            response: Response = problem(404, "unknown_agent", "no agent of this name; GET /agents lists them")
        except UnknownOperation:
            response = problem(400, "unknown_operation", "the agent's card names no such skill; GET /agents lists them")
        except RunFailure as failure:
            response = self._failed(failure)
        else:
            accepted(scope)
            async with aclosing(self._gateway.stream(self._run)) as pieces:
                if self._events:
                    try:
                        await self._stream(pieces, scope, receive, send)
                    except OSError:  # the server closes the connection, since the last piece is missing
                        _log.info("the caller of a run of agent %s is gone or does not read", self._run.agent)
                    return
                response = await self._whole(pieces)
        await response(scope, receive, send)

    async def _whole(self, pieces: AsyncGenerator[str, None]) -> Response:
        try:
            async for _ in pieces:
                pass
        except Exception as error:
            return self._failed(self._failure(error))
        return JSONResponse(self._result("success"))

    async def _stream(self, pieces: AsyncGenerator[str, None], scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events. A run that fails before its first event is still answered with the status of its failure.

        Once the agent has changed text that was sent, no more is sent piece by piece: the last event has the whole output.
        """
        begun = replaced = False
        last: tuple[str, dict[str, Any]]
        try:
            async for piece in pieces:
                if not begun:
                    begun = True
                    await send({"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS})
                    await self._send(send, "started", self._ids())
                if self._run.replaced and not replaced:
                    replaced = True
                    await self._send(send, "replaced", {})
                if piece:
                    await self._send(send, "output", {"text": piece})
            last = ("done", self._result("success"))
        except OSError:
            raise  # from sending: the caller is gone
        except Exception as error:
            failure = self._failure(error)
            if not begun:
                await self._failed(failure)(scope, receive, send)
                return
            last = ("error", self._failed_result(failure))
        await self._send(send, *last, more=False)

    async def _send(self, send: Send, name: str, data: dict[str, Any], *, more: bool = True) -> None:
        # JSON in ASCII has no line breaks, those of Unicode included: one data line is enough for every reader.
        body = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        async with asyncio.timeout(self._gateway.timeout):  # a caller that does not read holds the run no longer
            await send({"type": "http.response.body", "body": body, "more_body": more})

    def _failure(self, error: Exception) -> RunFailure:
        if isinstance(error, RunFailure):
            return error
        _log.error("a run of agent %s failed in the service itself", self._run.agent, exc_info=error)
        return RunFailure("internal", "the service failed; its log has the reason")

    def _failed(self, failure: RunFailure) -> JSONResponse:
        return JSONResponse(self._failed_result(failure), _STATUS.get(failure.error_type, 502))

    def _failed_result(self, failure: RunFailure) -> dict[str, Any]:
        return {**self._result("error"), "error": failure.error_type, "reason": failure.reason}

    def _result(self, status: str) -> dict[str, Any]:
        run = self._run
        return {"agent": run.agent, "operation": run.operation, "status": status, "output": run.output, **self._ids()}

    def _ids(self) -> dict[str, Any]:
        """The ids by which logs and traces are found. Before the call has a span, the trace id is the request's."""
        trace_id = self._run.trace_id or format_trace_id(get_current_span().get_span_context().trace_id)
        return {"task_id": self._run.task_id, "trace_id": trace_id}


_EVENT_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies must not hold events back
]
