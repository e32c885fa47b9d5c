"""An agent built with the A2A SDK, on a real socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from a2a.helpers.proto_helpers import new_task
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState
from starlette.applications import Starlette

from tests.helpers.asgi_server import serving

__all__ = ["Work", "sdk_agent"]

Work = Callable[[TaskUpdater], Awaitable[None]]


class Executor(AgentExecutor):
    """Executes each task as a test says."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        ids = str(context.task_id), str(context.context_id)
        await event_queue.enqueue_event(new_task(*ids, TaskState.TASK_STATE_SUBMITTED))
        updater = TaskUpdater(event_queue, *ids)
        await updater.start_work()
        await self._work(updater)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, str(context.task_id), str(context.context_id)).cancel()


@contextmanager
def sdk_agent(work: Work, *, streaming: bool, version: str = "1.0") -> Iterator[str]:
    app = Starlette()
    with serving(app, lifespan="off") as url:
        card = AgentCard(
            name="sdk",
            version="1",
            capabilities=AgentCapabilities(streaming=streaming),
            supported_interfaces=[AgentInterface(url=f"{url}/", protocol_binding="JSONRPC", protocol_version=version)],
            skills=[AgentSkill(id="query", name="query", description="answers", tags=["t"])],
        )
        handler = DefaultRequestHandler(Executor(work), InMemoryTaskStore(), card)
        app.routes.extend([*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True)])
        yield url
