"""The A2A gateway: every call to an agent goes through here, and is measured here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import cast
from uuid import uuid4

from a2a.types.a2a_pb2 import CancelTaskRequest, Message, Part, Role, SendMessageRequest, StreamResponse
from opentelemetry.trace import TracerProvider

from agents.gateway.agent_client import AgentClient
from agents.gateway.failure import RunFailure, failure_of
from agents.gateway.run import Run, state_of
from agents.gateway.transport import Exchange
from telemetry.agentos.recorder import Recorder

__all__ = ["DashboardGateway", "UnknownAgent", "UnknownOperation"]

_log = logging.getLogger(__name__)

_UNKNOWN = "unknown"
"""The operation of a call that failed before the agent's card could be read."""
_GRACE_SECONDS = 1.0
"""How long a stream may take to end after its final event, and an agent to hear of a cancellation."""


class UnknownAgent(LookupError):
    """No agent of this name in the settings."""


class UnknownOperation(LookupError):
    """The agent's card names no such skill."""


class DashboardGateway:
    """Calls agents with the official A2A client, one pooled client an agent."""

    def __init__(
        self, recorder: Recorder, timeout: float, response_limit: int, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._recorder = recorder
        self._tracer_provider = tracer_provider
        self.timeout = timeout
        """Seconds an agent has for a run."""
        self._response_limit = response_limit
        self._peers: dict[str, AgentClient] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open_label(self, urls: Mapping[str, str]) -> AsyncIterator[DashboardGateway]:
        """Reads the cards of these agents (name -> base URL); in the end says what is still to be said, and hangs up."""
        self._peers = {name: AgentClient(name, url, self._response_limit, self._tracer_provider) for name, url in urls.items()}
        self._recorder.initialize_series(agents=dict.fromkeys(urls, ()))
        async with asyncio.TaskGroup() as group:
            for peer in self._peers.values():
                group.create_task(self._greet(peer))
        try:
            yield self
        finally:
            if self._leaving:
                await asyncio.wait(self._leaving, timeout=_GRACE_SECONDS)
            for peer in self._peers.values():
                await peer.close()

    @property
    def agents(self) -> Mapping[str, Mapping[str, str] | None]:
        """Agent -> its operations with their descriptions; ``None`` while its card has not been read."""
        return {name: peer.operations if peer.known else None for name, peer in self._peers.items()}

    async def prepare(self, run: Run) -> None:
        """Checks a run before anything is sent.

        Raises ``UnknownAgent``, ``UnknownOperation``, or ``RunFailure`` when the agent's card cannot be read: that is a failed
        call too, and is counted as one. Whoever leaves while a known card is only looked at again has not called.
        """
        peer = self._peers.get(run.agent)
        if peer is None:
            raise UnknownAgent(run.agent)
        begun = time.perf_counter()
        try:
            await self._learn(peer, run.operation)
        except BaseException as error:
            if peer.known and isinstance(error, asyncio.CancelledError):
                raise
            known = error.error_type if isinstance(error, RunFailure) else "internal"
            error_type = "cancelled" if isinstance(error, asyncio.CancelledError) else known
            passed = time.perf_counter() - begun
            self._recorder.record_a2a_request(run.agent, _UNKNOWN, "error", passed, error_type=error_type)
            raise
        if run.operation not in peer.operations:
            raise UnknownOperation(run.operation)

    async def stream(self, run: Run) -> AsyncGenerator[str, None]:
        """Sends a prepared run; yields the new text of each event, empty for one that brings none.

        Raises ``RunFailure``. Close it (``contextlib.aclosing``) in the task that reads it; a reader who leaves before the
        final event cancels the agent's task.
        """
        peer = self._peers[run.agent]
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.timeout
        async with (
            self._recorder.a2a_call(agent=run.agent, operation=run.operation) as call,
            Exchange(call.add_bytes, call.record_request_size),
            aclosing(_send(peer, run)) as events,
        ):
            run.trace_id = call.trace_id
            try:
                while (event := await _next(events, deadline)) is not None:
                    call.record_event(streams=peer.streams)
                    if (state := state_of(event)) is not None:
                        call.record_state(state)
                    piece = run.take(event)
                    if run.ended:
                        call.succeed()
                    paused = clock()
                    yield piece
                    deadline += clock() - paused  # the reader's time is not the agent's
                    if run.ended:
                        await _drain(events)
                        return
                raise RunFailure("protocol", "the agent's stream ended without a final event")
            except BaseException as error:
                if isinstance(error, RunFailure) and error.code is not None:
                    call.record_error_code(error.code)
                if not run.ended and not (isinstance(error, RunFailure) and error.error_type == "agent"):
                    self._cancel_later(peer, run.task_id)
                raise

    async def _greet(self, peer: AgentClient) -> None:
        try:
            await self._learn(peer, _UNKNOWN)
        except RunFailure as failure:
            _log.warning("agent %s has no card yet: %s", peer.name, failure.reason)

    async def _learn(self, peer: AgentClient, operation: str) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                if await peer.learn(operation):
                    self._recorder.initialize_series(agents={peer.name: tuple(peer.operations)})
        except TimeoutError as error:
            raise failure_of(error) from error

    def _cancel_later(self, peer: AgentClient, task_id: str | None) -> None:
        """Tells the agent that nobody waits any more, without making the caller wait for that."""
        if task_id is not None:
            leaving = asyncio.create_task(_cancel(peer, task_id))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


def _send(peer: AgentClient, run: Run) -> AsyncGenerator[StreamResponse, None]:
    request = SendMessageRequest(
        message=Message(
            role=Role.ROLE_USER,
            message_id=str(uuid4()),
            parts=[Part(text=run.text)],
            metadata={"operation": run.operation, "workspace_id": run.workspace},
        )
    )
    # Declared as an iterator, written as a generator: it can be closed.
    return cast(AsyncGenerator[StreamResponse, None], peer.client.send_message(request))


async def _next(events: AsyncIterator[StreamResponse], deadline: float) -> StreamResponse | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(events, None)
    except Exception as error:
        raise failure_of(error) from error


async def _drain(events: AsyncIterator[StreamResponse]) -> None:
    """Reads a stream to its end after the final event, so that its connection can be used again."""
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            async for _ in events:
                pass
    except Exception as error:  # the answer is complete, whatever comes behind it
        _log.debug("an agent's stream did not end well after its final event: %r", error)


async def _cancel(peer: AgentClient, task_id: str) -> None:
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await peer.client.cancel_task(CancelTaskRequest(id=task_id))
    except Exception as error:  # the agent may be gone or the task over
        _log.debug("agent %s did not take the cancellation of a task: %r", peer.name, error)
