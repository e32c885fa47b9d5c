"""The private names of the ``mcp`` SDK that measuring needs, as versions 2.3 and newer have them: no other module uses any.

Where a later version lacks one, these functions raise ``AttributeError`` or return nothing: what depends on it is not measured,
and the SDK works all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.server import Server
from mcp.server.mcpserver import MCPServer

__all__ = [
    "cancel_scopes",
    "connection_of",
    "dispatcher_of",
    "is_span_middleware",
    "lowlevel_of",
    "outbound_of",
    "replace_connect",
    "replace_tracer",
]

Connect = Callable[..., Awaitable[Any]]


def replace_connect(client: Client, replacement: Callable[[Connect], Connect]) -> None:
    """Replaces how a client makes its dispatcher when it is entered."""
    target: Any = client
    target._connect = replacement(target._connect)


def dispatcher_of(session: ClientSession) -> Any:
    """Returns what sends and receives a session's messages."""
    return session._dispatcher


def cancel_scopes() -> list[Any]:
    """Returns the cancel scopes that the caller runs in, the innermost first; none where anyio does not tell."""
    found: list[Any] = []
    with anyio.CancelScope() as innermost:  # noqa: ASYNC100  # nothing is cancelled by it
        scope: Any = innermost
        while (scope := getattr(scope, "_parent_scope", None)) is not None:
            found.append(scope)
    return found


def lowlevel_of(server: MCPServer | Server[Any]) -> Server[Any]:
    """Returns the ``Server`` that an ``MCPServer`` is built on; a ``Server`` itself."""
    return server._lowlevel_server if isinstance(server, MCPServer) else server


def is_span_middleware(middleware: object) -> bool:
    """Returns whether it is the SDK's own middleware that opens spans."""
    kind = getattr(_module("mcp.server._otel"), "OpenTelemetryMiddleware", None)
    return kind is not None and isinstance(middleware, kind)


def connection_of(session: object) -> Any:
    """Returns the connection of a server's session; None where there is none."""
    return getattr(session, "_connection", None)


def outbound_of(session: object) -> Any:
    """Returns what a server's session sends by; None where there is nothing."""
    outbound: Any = getattr(session, "_request_outbound", None)
    while (inner := getattr(outbound, "_inner", None)) is not None:
        outbound = inner
    return getattr(outbound, "_dispatcher", outbound)


def replace_tracer(replacement: Callable[[Any], Any]) -> None:
    """Replaces the tracer by which the SDK opens a span around each request; does nothing where there is none."""
    module = _module("mcp.shared._otel")
    tracer = getattr(module, "_tracer", None)
    if tracer is not None:
        setattr(module, "_tracer", replacement(tracer))  # noqa: B010  # mypy: the module is of any type


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
