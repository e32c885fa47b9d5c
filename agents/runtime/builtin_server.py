"""The A2A servers of the built-in agents: ASGI applications that are called inside the process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import NoReturn

from a2a.server.agent_execution import AgentExecutor
from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import TaskStore
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
)
from a2a.utils.errors import UnsupportedOperationError
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.http import parse_excluded_urls
from starlette.applications import Starlette
from starlette.routing import Mount

from agents.runtime.a2a_server_span import A2AServerSpan, card_attributes
from agents.runtime.builtin_agents import BuiltinAgent
from agents.runtime.in_process import InProcessTransport
from telemetry.tracing.exceptions import leave_out_messages
from telemetry.tracing.server_span import SetOnceTracerProvider, accept_attributes

__all__ = ["BASE_URL", "serving"]

BASE_URL = "http://builtin.internal"
"""Where the agents are for the transport. ``.internal`` is no name on the Internet; requests do not leave the process."""
_CARDS = parse_excluded_urls(r"/\.well-known/agent-card\.json$")


class _RequestHandler(DefaultRequestHandler):
    """The SDK's handler, without lists: the tasks are those of all workspaces. It takes no push notifications either.

    The span of the server gets the attributes of the request.
    """

    def __init__(self, executor: AgentExecutor, task_store: TaskStore, card: AgentCard) -> None:
        super().__init__(executor, task_store, card)
        self._span_of = partial(A2AServerSpan, card_attributes(card))

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Message | Task:
        """See the base class."""
        with self._span_of("SendMessage", params.message) as span:
            answer: Message | Task = await super().on_message_send(params, context)
            span.answer(answer)
            return answer

    async def on_message_send_stream(self, params: SendMessageRequest, context: ServerCallContext) -> AsyncGenerator[Event]:
        """See the base class."""
        with self._span_of("SendStreamingMessage", params.message) as span:
            async with aclosing(super().on_message_send_stream(params, context)) as events:
                async for event in events:
                    span.answer(event)
                    yield event

    async def on_subscribe_to_task(self, params: SubscribeToTaskRequest, context: ServerCallContext) -> AsyncGenerator[Event]:
        """See the base class."""
        with self._span_of("SubscribeToTask", task_id=params.id) as span:
            async with aclosing(super().on_subscribe_to_task(params, context)) as events:
                async for event in events:
                    span.answer(event)
                    yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """See the base class."""
        with self._span_of("GetTask", task_id=params.id) as span:
            answer: Task | None = await super().on_get_task(params, context)
            span.answer(answer)
            return answer

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        """See the base class."""
        with self._span_of("CancelTask", task_id=params.id) as span:
            answer: Task | None = await super().on_cancel_task(params, context)
            span.answer(answer)
            return answer

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> NoReturn:
        """Refuses the request."""
        with self._span_of("ListTasks"):
            raise UnsupportedOperationError(message="tasks are not listed")


@asynccontextmanager
async def serving(
    agents: Sequence[BuiltinAgent],
    tracer_provider: TracerProvider,
    shutdown_timeout: float,
    task_store: Callable[[], TaskStore],
) -> AsyncIterator[tuple[Mapping[str, str], InProcessTransport]]:
    """Serves the agents to the transport that it yields with name -> URL, and to nothing else. Ends running tasks on exit.

    Each agent keeps its tasks in a ``task_store`` of its own.
    """
    handlers = {agent.name: _RequestHandler(agent, task_store(), agent.card(_url(agent))) for agent in agents}
    transport = InProcessTransport(
        OpenTelemetryMiddleware(
            Starlette(routes=[_mount(agent, handlers[agent.name], shutdown_timeout) for agent in agents]),
            excluded_urls=_CARDS,
            default_span_details=lambda _: ("A2A agent", {}),
            tracer_provider=SetOnceTracerProvider(tracer_provider),
            meter_provider=NoOpMeterProvider(),
            exclude_spans=["receive", "send"],
            server_request_hook=_on_server_span,
        )
    )
    try:
        yield {name: f"{BASE_URL}/{name}" for name in handlers}, transport
    finally:
        await transport.drain(shutdown_timeout)
        for handler in handlers.values():
            await handler.aclose()


def _on_server_span(span: Span, *_: object) -> None:
    accept_attributes(span)
    leave_out_messages(span)


def _url(agent: BuiltinAgent) -> str:
    return f"{BASE_URL}/{agent.name}/"


def _mount(agent: BuiltinAgent, handler: DefaultRequestHandler, shutdown_timeout: float) -> Mount:
    """The routes of an agent's card and its JSON-RPC endpoint, below the agent's name."""
    return Mount(
        f"/{agent.name}",
        routes=[
            *create_agent_card_routes(agent.card(_url(agent))),
            # Without the grace period a stream is cut off when the shutdown begins.
            *create_jsonrpc_routes(handler, "/", shutdown_grace_period=shutdown_timeout),
        ],
    )
