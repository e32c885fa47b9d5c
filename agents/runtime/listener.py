"""The loopback listener of the built-in agents: real HTTP, but not through the public port and its limiter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

import uvicorn
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import TaskStore
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import TracerProvider
from opentelemetry.util.http import parse_excluded_urls
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Mount

from agents.runtime.builtin_agents import BuiltinAgent
from telemetry.tracing.exceptions import leave_out_messages

__all__ = ["InnerServer", "listening"]

_DISPATCHER = "a2a.server.routes.jsonrpc_dispatcher"
_CARDS = parse_excluded_urls(r"/\.well-known/agent-card\.json$")


def _is_no_disconnect(record: logging.LogRecord) -> bool:
    """Filter of the SDK's logger: drops errors of clients that disconnect before their request has been read."""
    error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
    return not isinstance(error, ClientDisconnect)


class InnerServer(uvicorn.Server):
    """A server inside another server's process: leaves the signals to that one, and sets an event when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.asynccontextmanager
async def listening(
    agents: Sequence[BuiltinAgent],
    tracer_provider: TracerProvider,
    shutdown_timeout: float,
    task_store: Callable[[], TaskStore],
) -> AsyncIterator[Mapping[str, str]]:
    """Serves the agents on an ephemeral port of 127.0.0.1 and yields name -> URL. Ends running tasks on exit.

    Each agent keeps its tasks in a ``task_store`` of its own.
    """
    logging.getLogger(_DISPATCHER).addFilter(_is_no_disconnect)  # adding it twice has no effect
    with _loopback() as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        handlers = {
            agent.name: DefaultRequestHandler(agent, task_store(), agent.card(f"{base}/{agent.name}/")) for agent in agents
        }
        app = Starlette(routes=[_mount(agent, handlers[agent.name], base, shutdown_timeout) for agent in agents])
        traced = OpenTelemetryMiddleware(
            app,
            excluded_urls=_CARDS,
            default_span_details=lambda _: ("A2A agent", {}),
            tracer_provider=tracer_provider,
            meter_provider=NoOpMeterProvider(),
            exclude_spans=["receive", "send"],
            server_request_hook=leave_out_messages,
        )
        server = InnerServer(
            uvicorn.Config(
                traced,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(shutdown_timeout)),
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield {name: f"{base}/{name}" for name in handlers}
        finally:
            server.should_exit = True
            await serving
            for handler in handlers.values():
                await handler.aclose()


def _loopback() -> socket.socket:
    """A listening socket.

    It names its protocol, because asyncio sets TCP_NODELAY only then: without it each call waits 40 ms for a delayed
    acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _mount(agent: BuiltinAgent, handler: DefaultRequestHandler, base: str, shutdown_timeout: float) -> Mount:
    """The routes of an agent's card and its JSON-RPC endpoint, below the agent's name."""
    return Mount(
        f"/{agent.name}",
        routes=[
            *create_agent_card_routes(agent.card(f"{base}/{agent.name}/")),
            # Without the grace period a stream is cut off when the shutdown begins.
            *create_jsonrpc_routes(handler, "/", shutdown_grace_period=shutdown_timeout),
        ],
    )
