"""The A2A gateway: makes and measures every call of an agent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import cast
from uuid import uuid4

import httpx
from a2a.types.a2a_pb2 import CancelTaskRequest, GetTaskRequest, Message, Part, Role, SendMessageRequest, StreamResponse
from opentelemetry.trace import TracerProvider

from agents.gateway.agent_client import AgentClient, operation_label
from agents.gateway.failure import RunFailure, failure_of
from agents.gateway.run import Run, ids_of, state_of
from agents.gateway.transport import Exchange
from telemetry._base.printable import printable
from telemetry.agentos.agent_names import A2A_MESSAGE_ID
from telemetry.agentos.calls import A2ACall
from telemetry.agentos.recorder import Recorder

__all__ = ["DashboardGateway", "UnknownAgent", "UnknownOperation"]

_log = logging.getLogger(__name__)

_UNKNOWN = "unknown"
"""The operation of a call that failed before the agent's card could be read."""
_GRACE_SECONDS = 1.0
"""Seconds a stream may take to end after its final event, and an agent to accept a cancellation."""
_INLINE_BYTES = 8 * 1024
"""Largest event that is put into the answer on the loop."""
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 2.0
"""Seconds between two requests for a task that is not over, doubled from the first to the longest."""


class UnknownAgent(LookupError):
    """The settings name no such agent."""


class UnknownOperation(LookupError):
    """The agent's card names no such skill."""


class DashboardGateway:
    """Calls agents with the official A2A client, one connection pool per agent."""

    def __init__(
        self, recorder: Recorder, timeout: float, response_limit: int, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._recorder = recorder
        self._tracer_provider = tracer_provider
        self.timeout = timeout
        """Seconds an agent has for a run."""
        self._response_limit = response_limit
        self._clients: dict[str, AgentClient] = {}
        self._cancellations: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(
        self, urls: Mapping[str, str], transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator[DashboardGateway]:
        """Reads the cards of these agents (name -> base URL). On exit waits for cancellations and closes the connections.

        ``transport`` sends the requests to all of them; by default each agent has a pool of connections.
        """
        self._clients = {
            name: AgentClient(name, url, self._response_limit, self._tracer_provider, transport) for name, url in urls.items()
        }
        self._recorder.initialize_series(agents=dict.fromkeys(urls, ()))
        async with asyncio.TaskGroup() as group:
            for client in self._clients.values():
                group.create_task(self._read_card(client))
        try:
            yield self
        finally:
            if self._cancellations:
                await asyncio.wait(self._cancellations, timeout=_GRACE_SECONDS)
            for client in self._clients.values():
                await client.close()

    @property
    def agents(self) -> Mapping[str, Mapping[str, str] | None]:
        """Agent -> its operations with their descriptions; ``None`` while its card has not been read."""
        return {name: client.operations if client.known else None for name, client in self._clients.items()}

    async def prepare(self, run: Run) -> None:
        """Checks a run before anything is sent.

        A card that cannot be read counts as a failed call. A caller that leaves while a known card is fetched again does not
        count: nothing was called.

        Raises:
            UnknownAgent: The settings name no such agent.
            UnknownOperation: The agent's card names no such skill.
            RunFailure: The agent's card cannot be read.
        """
        client = self._clients.get(run.agent)
        if client is None:
            raise UnknownAgent(run.agent)
        begun = time.perf_counter()
        try:
            await self._fetch_card(client, run.operation)
        except BaseException as error:
            if client.known and isinstance(error, asyncio.CancelledError):
                raise
            known = error.error_type if isinstance(error, RunFailure) else "internal"
            error_type = "cancelled" if isinstance(error, asyncio.CancelledError) else known
            passed = time.perf_counter() - begun
            self._recorder.record_a2a_request(run.agent, _UNKNOWN, "error", passed, error_type=error_type)
            raise
        if run.operation not in client.operations:
            raise UnknownOperation(run.operation)

    async def stream(self, run: Run) -> AsyncGenerator[str, None]:
        """Sends a prepared run and yields the new text of each event, "" for an event without text.

        The caller closes the generator (``contextlib.aclosing``) in the task that reads it. Closing it before the final event
        cancels the agent's task.

        Raises:
            RunFailure: The agent failed, did not answer in time, or sent no A2A answer.
        """
        client = self._clients[run.agent]
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.timeout
        message_id = str(uuid4())
        attributes = {**client.attributes, A2A_MESSAGE_ID: message_id}
        async with (
            self._recorder.a2a_call(agent=run.agent, operation=operation_label(run.operation), attributes=attributes) as call,
            Exchange(call.add_bytes, call.record_request_size),
            aclosing(_events(client, run, message_id)) as events,
        ):
            run.trace_id = call.trace_id
            try:
                while (event := await _next(events, deadline)) is not None:
                    _record_event(call, event, streams=client.streams)
                    piece = await _take(run, event)
                    if run.ended:
                        call.succeed()
                    paused = clock()
                    yield piece
                    deadline += clock() - paused  # the time that the caller takes is not the agent's
                    if run.ended:
                        await _drain(events)
                        return
                    await asyncio.sleep(0)  # events that have come already are read without a wait
                raise RunFailure("protocol", "the agent's stream ended without a final event")
            except BaseException as error:
                _record_answer(call, error)
                if not run.ended and not (isinstance(error, RunFailure) and error.error_type == "agent"):
                    self._cancel_later(client, run.task_id)
                raise

    async def _read_card(self, client: AgentClient) -> None:
        try:
            await self._fetch_card(client, _UNKNOWN)
        except RunFailure as failure:
            _log.warning("agent %s has no card yet: %s", client.name, failure.reason)

    async def _fetch_card(self, client: AgentClient, operation: str) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                if await client.fetch_card(operation):
                    labels = tuple(dict.fromkeys(map(operation_label, client.operations)))
                    self._recorder.initialize_series(agents={client.name: labels})
        except TimeoutError as error:
            raise failure_of(error) from error

    def _cancel_later(self, client: AgentClient, task_id: str | None) -> None:
        """Cancels the agent's task in the background: the caller does not wait for it."""
        if task_id is not None:
            cancellation = asyncio.create_task(_cancel(client, task_id))
            self._cancellations.add(cancellation)
            cancellation.add_done_callback(self._cancellations.discard)


def _record_event(call: A2ACall, event: StreamResponse, *, streams: bool) -> None:
    call.record_event(streams=streams)
    call.record_task(*ids_of(event))
    if (state := state_of(event)) is not None:
        call.record_state(state)


def _record_answer(call: A2ACall, error: BaseException) -> None:
    """Takes the error code or status that the agent answered with, if that is what failed."""
    if isinstance(error, RunFailure):
        if error.code is not None:
            call.record_error_code(error.code)
        elif error.http_status is not None:
            call.record_http_status(error.http_status)


async def _events(client: AgentClient, run: Run, message_id: str) -> AsyncGenerator[StreamResponse, None]:
    """Sends the run and yields the agent's events. Of an agent that does not stream, polls a task that is not over yet."""
    request = SendMessageRequest(
        message=Message(
            role=Role.ROLE_USER,
            message_id=message_id,
            parts=[Part(text=run.text)],
            metadata={"operation": run.operation, "workspace_id": run.workspace},
        )
    )
    # The client declares an iterator and returns a generator, which can be closed.
    async with aclosing(cast(AsyncGenerator[StreamResponse, None], client.a2a.send_message(request))) as events:
        async for event in events:
            yield event
    wait = _FIRST_POLL_SECONDS
    while not client.streams and not run.ended and run.task_id is not None:
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_POLL_SECONDS)
        yield StreamResponse(task=await client.a2a.get_task(GetTaskRequest(id=run.task_id, history_length=0)))


async def _next(events: AsyncIterator[StreamResponse], deadline: float) -> StreamResponse | None:
    try:
        async with asyncio.timeout_at(deadline):
            event = await anext(events, None)
        if asyncio.get_running_loop().time() > deadline:  # nothing waited, so that the timeout could not interrupt it
            raise TimeoutError
    except Exception as error:
        raise failure_of(error) from error
    return event


async def _take(run: Run, event: StreamResponse) -> str:
    """Adds an event to the run: a large one in a thread, where its text is put together while the loop runs on."""
    if event.ByteSize() <= _INLINE_BYTES:
        return run.take(event)
    return await asyncio.to_thread(run.take, event)  # without a timeout: until it returns, the run is half changed


async def _drain(events: AsyncIterator[StreamResponse]) -> None:
    """Reads a stream to its end after the final event, so that the pool can use its connection again."""
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            async for _ in events:
                pass
    except Exception as error:  # the answer is complete already
        _log.debug("an agent's stream did not end well after its final event: %s", printable(repr(error)))


async def _cancel(client: AgentClient, task_id: str) -> None:
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await client.a2a.cancel_task(CancelTaskRequest(id=task_id))
    except Exception as error:  # the agent may be gone or the task over
        _log.debug("agent %s did not take the cancellation of a task: %s", client.name, printable(repr(error)))
